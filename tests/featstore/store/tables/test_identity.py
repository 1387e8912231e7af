import json

import pytest

from featstore.errors import StoreDamagedError, StoreFormatError, StoreNotFoundError, StoreWriteError
from featstore.store.tables import identity
from featstore.system import fsio
from tests.support.store_inputs import tree


def test_create_makes_a_store_that_identifies_itself(tmp_path):
    identity.create(tmp_path / "deep" / "store")
    assert len(identity.identify(tmp_path / "deep" / "store")) == 36
    assert json.loads((tmp_path / "deep" / "store" / "store.json").read_bytes())["format"] == 1


def test_create_leaves_an_existing_store_as_it_is(tmp_path):
    identity.create(tmp_path)
    before = tree(tmp_path)
    identity.create(tmp_path)
    assert tree(tmp_path) == before


def test_create_in_an_empty_folder_or_where_a_creator_was_killed(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*args, **kwargs):
        raise Killed

    (tmp_path / "lost+found").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(fsio, "publish", kill)
        with pytest.raises(Killed):
            identity.create(tmp_path)
    identity.create(tmp_path)
    assert identity.identify(tmp_path)


def test_create_refuses_a_folder_with_other_things_and_touches_nothing(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(StoreFormatError, match="is no feature store and holds holiday.jpg; name a new or empty folder"):
        identity.create(tmp_path)
    assert list(tree(tmp_path)) == ["holiday.jpg"]
    with pytest.raises(StoreFormatError, match="is a file; name a new or empty folder"):
        identity.create(tmp_path / "holiday.jpg")


def test_create_does_not_hide_that_a_store_lost_its_identity(tmp_path):
    (tmp_path / "features" / ("0" * 16)).mkdir(parents=True)
    with pytest.raises(StoreDamagedError, match="has lost its store.json; run `featstore repair"):
        identity.create(tmp_path)


def test_identify_says_what_is_there_instead(tmp_path):
    with pytest.raises(StoreNotFoundError, match="there is no feature store at .*none; `featstore extract"):
        identity.identify(tmp_path / "none")
    with pytest.raises(StoreFormatError, match="there is no store.json in it"):
        identity.identify(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFormatError, match="is a file; expected the folder"):
        identity.identify(tmp_path / "file")


def test_a_newer_store_is_refused(tmp_path):
    (tmp_path / "store.json").write_text('{"format": 2, "uuid": "x"}')
    with pytest.raises(StoreFormatError, match="has format 2; this featstore reads up to format 1: upgrade"):
        identity.identify(tmp_path)


def test_a_damaged_or_foreign_identity_is_refused(tmp_path):
    from featstore.store.format.sealed import seal

    (tmp_path / "store.json").write_bytes(b"\0" * 100)
    with pytest.raises(StoreDamagedError, match="store.json is damaged"):
        identity.identify(tmp_path)
    (tmp_path / "store.json").write_bytes(seal({"kind": "shop"}))
    with pytest.raises(StoreFormatError, match="not the one of a feature store"):
        identity.identify(tmp_path)


def test_a_place_that_cannot_be_written_is_one_sentence():
    with pytest.raises(StoreWriteError, match="could not be written"):
        identity.create(__import__("pathlib").Path("/proc/featstore"))


def test_a_place_is_vacant_until_something_is_there(tmp_path):
    assert identity.vacant(tmp_path / "none") and identity.vacant(tmp_path)
    for name in identity.FOLDERS:
        (tmp_path / name).mkdir()
    assert identity.vacant(tmp_path)  # a creator was killed
    (tmp_path / "features" / "0123456789abcdef").mkdir()
    assert not identity.vacant(tmp_path)  # a store that has lost its store.json
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").write_bytes(b"x")
    assert not identity.vacant(tmp_path / "other")
    assert not identity.vacant(tmp_path / "other" / "holiday.jpg")
    identity.create(tmp_path / "made")
    assert not identity.vacant(tmp_path / "made")
