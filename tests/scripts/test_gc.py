import json

from click.testing import CliRunner

from featstore.errors import StoreNotFoundError
from featstore_scripts.gc import gc
from tests.scripts.test_repair import make
from tests.support.store_inputs import tree


def test_it_says_what_it_would_remove_and_then_removes_it(tmp_path):
    store = make(tmp_path / "s")
    (store.path / "tmp" / "x.part").write_bytes(b"12345")
    before = tree(store.path)
    said = CliRunner().invoke(gc, [str(store.path), "--dry-run", "--grace-minutes", "0"]).stdout
    assert said == "would remove tmp/x.part\n1 files, 5 bytes would be freed\n" and tree(store.path) == before
    done = CliRunner().invoke(gc, [str(store.path), "--grace-minutes", "0"]).stdout
    assert done == "removed tmp/x.part\n1 files, 5 bytes freed\n"
    assert tree(store.path).keys() == before.keys() - {"tmp/x.part"}


def test_an_hour_of_grace_is_the_default(tmp_path):
    store = make(tmp_path / "s")
    (store.path / "tmp" / "x.part").write_bytes(b"12345")
    document = json.loads(CliRunner().invoke(gc, [str(store.path), "--json"]).stdout)
    assert document == {"format": 1, "dry_run": False, "files": [], "bytes": 0, "kept": []}


def test_no_store(tmp_path):
    assert isinstance(CliRunner().invoke(gc, [str(tmp_path / "none")]).exception, StoreNotFoundError)
