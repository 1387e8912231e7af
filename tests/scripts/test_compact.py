import json

from click.testing import CliRunner

from featstore import FeatureStore
from featstore.errors import StoreNotFoundError
from featstore_scripts.compact import compact
from tests.scripts.test_repair import make
from tests.support.store_inputs import fingerprint

KEY = fingerprint().key


def test_it_says_what_it_did(tmp_path):
    store = make(tmp_path / "s")
    assert CliRunner().invoke(compact, [str(store.path)]).stdout == f"{KEY}: 2 shards, now 1\n"
    assert CliRunner().invoke(compact, [str(store.path)]).stdout == f"{KEY}: 1 shard, as before\n"
    document = json.loads(CliRunner().invoke(compact, [str(store.path), "--json"]).stdout)
    assert document == {"format": 1, "before": {KEY: 1}, "after": {KEY: 1}}


def test_an_empty_store_and_none(tmp_path):
    FeatureStore(tmp_path / "s", create=True)
    assert "holds no features yet" in CliRunner().invoke(compact, [str(tmp_path / "s")]).stdout
    assert isinstance(CliRunner().invoke(compact, [str(tmp_path / "none")]).exception, StoreNotFoundError)
