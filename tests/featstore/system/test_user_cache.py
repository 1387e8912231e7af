"""Entries in the user's cache folder: one for what they depend on, and none where it cannot be written."""

import hashlib
import json

from featstore.system.user_cache import cache_folder, entry_path, write_entry


def test_an_entry_is_found_by_what_it_depends_on_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = entry_path("things", {"b": 1, "a": "x"})
    assert cache_folder() == tmp_path / "featstore" and path.parent == cache_folder() / "things"
    assert path.stem == hashlib.sha256(b'{"a":"x","b":1}').hexdigest()[:32]
    assert path == entry_path("things", {"a": "x", "b": 1}) != entry_path("things", {"a": "x", "b": 2})
    assert write_entry(path, {"seen": True})
    assert json.loads(path.read_bytes()) == {"seen": True, "seal": hashlib.sha256(b'{"seen":true}').hexdigest()}


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = entry_path("things", {})
    write_entry(path, {"seen": True})
    assert not path.exists()
