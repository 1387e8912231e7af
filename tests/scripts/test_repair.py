import json

import numpy as np
from click.testing import CliRunner

from featstore import FeatureStore
from featstore.errors import StoreNotFoundError
from featstore_scripts.repair import repair
from tests.support.store_inputs import PROVENANCE, features, fingerprint, images, rows


def make(path):
    store = FeatureStore(path, create=True)
    store.put_imageset(images("abcd"))
    for names in ("ab", "cd"):
        store.commit(fingerprint(), rows(names), PROVENANCE)
    return store


def test_damage_is_moved_away_and_what_to_do_is_said(tmp_path):
    store = make(tmp_path / "s")
    folder = store.path / "features" / fingerprint().key
    shard = folder / "shards" / store.table(fingerprint().key).snapshot().manifest.shards[0].file_name
    shard.write_bytes(shard.read_bytes()[:-1])
    result = CliRunner().invoke(repair, [str(store.path)])
    assert result.exit_code == 0
    assert f"to quarantine: {shard.relative_to(store.path)}: its bytes do not have the hash" in result.stdout
    assert "rebuilt: features/" in result.stdout
    assert f"2 rows of feature set {fingerprint().key} are lost; run `featstore extract`" in result.stdout
    assert FeatureStore(store.path).verify().ok


def test_json(tmp_path):
    store = make(tmp_path / "s")
    (store.path / "store.json").write_bytes(b"")
    document = json.loads(CliRunner().invoke(repair, [str(store.path), "--json"]).stdout)
    assert document["format"] == 1 and document["rebuilt"] == ["store.json"] and document["lost_rows"] == {}
    assert document["moved"][0]["path"] == "store.json"
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_a_whole_store(tmp_path):
    store = make(tmp_path / "s")
    assert "is whole; nothing was changed" in CliRunner().invoke(repair, [str(store.path)]).stdout


def test_no_store(tmp_path):
    assert isinstance(CliRunner().invoke(repair, [str(tmp_path / "none")]).exception, StoreNotFoundError)
