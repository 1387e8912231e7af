import os

import pytest

from featstore.sources.addresses import addresses
from featstore.sources.reading import read
from tests.support.archives import pictures, written


@pytest.mark.parametrize("kind", ["zip", "stored.zip", "tar", "tar.gz", "parquet"])
def test_paths_into_a_container_become_places(tmp_path, kind):
    files = pictures()
    place = written(files, tmp_path, kind)
    found = addresses([os.fsencode(place / name) for name in files])
    assert [read(address, 10**6) for address in found] == list(files.values())
    assert all(address[:1] == b"\0" for address in found)


def test_what_is_not_there_stays_a_path_and_fails_as_usual(tmp_path):
    place = written(pictures(), tmp_path, "zip")
    paths = [
        os.fsencode(place / "none.jpg"),
        os.fsencode(tmp_path / "no.zip" / "a"),
        os.fsencode(tmp_path / "no" / "a"),
    ]
    assert addresses(paths) == paths
    with pytest.raises(NotADirectoryError):
        read(paths[0], 10)


def test_plain_files_cost_one_stat_a_folder(tmp_path, monkeypatch):
    for name in ("a", "b.zip"):
        (tmp_path / name).mkdir()
    paths = [os.fsencode(tmp_path / folder / f"{i}.jpg") for i in range(1000) for folder in ("a", "b.zip")]
    stats = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **kw: stats.append(path) or real(path, **kw))
    assert addresses(paths) == paths
    monkeypatch.undo()
    assert len(stats) == 2


def test_a_file_that_is_no_container_is_none(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"text")
    assert addresses([os.fsencode(tmp_path / "a.txt" / "b")]) == [os.fsencode(tmp_path / "a.txt" / "b")]
