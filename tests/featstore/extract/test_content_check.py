import os

import numpy as np
import pytest
from PIL import Image

from featstore import FeatureStore
from featstore.discovery.scanning import scan
from featstore.errors import AmbiguousFeaturesError, ImagesNotFoundError, UnknownNameError
from featstore.extract.content_check import check_content
from tests.support.pictures import lock_folders


def picture_folder(folder):
    """Two classes of two small different pictures."""
    for number, name in enumerate(("a/0.png", "a/1.png", "b/0.png", "b/1.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 40 * number, dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return picture_folder(tmp_path / "pets")


@pytest.fixture
def store(tmp_path, folder):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(scan(folder))
    return store


def test_an_unchanged_folder(store, folder):
    seen = []
    found = check_content(store, folder, progress=lambda done, total: seen.append((done, total)))
    assert found.ok and found.images == 4 and (found.changed, found.gone, found.new) == ((), (), ())
    assert seen[-1] == (4, 4)


def test_a_change_that_keeps_size_and_time_is_found(store, folder):
    path = folder / "a" / "0.png"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = check_content(store, folder)
    assert found.changed == found.silent == ("a/0.png",) and not found.ok


def test_changed_gone_and_new_files_are_told_apart(store, folder):
    (folder / "a" / "0.png").write_bytes((folder / "a" / "1.png").read_bytes() + b"\0")
    (folder / "b" / "0.png").rename(folder / "b" / "2.png")
    found = check_content(store, folder)
    assert (found.changed, found.gone, found.new) == (("a/0.png",), ("b/0.png",), ("b/2.png",)) and found.silent == ()


def test_new_files_alone_are_no_fault(store, folder):
    (folder / "b" / "2.png").write_bytes((folder / "b" / "1.png").read_bytes())
    assert check_content(store, folder).ok


def test_a_moved_folder_is_compared_by_path_inside_of_it(store, folder):
    moved = folder.rename(folder.with_name("elsewhere"))
    assert check_content(store, moved).ok


def test_which_data_set_is_meant(store, folder, tmp_path):
    other = picture_folder(tmp_path / "more")
    store.put_imageset(scan(other))
    assert check_content(store, other).dataset == "more"
    moved = other.rename(tmp_path / "elsewhere")
    with pytest.raises(AmbiguousFeaturesError, match="choose with `dataset`: more, pets"):
        check_content(store, moved)
    assert check_content(store, moved, dataset="more").ok
    with pytest.raises(UnknownNameError, match="unknown data set 'x'"):
        check_content(store, moved, dataset="x")


def test_no_folder(store, tmp_path):
    with pytest.raises(ImagesNotFoundError):
        check_content(store, tmp_path / "none")


def test_what_cannot_be_read_is_not_called_gone(store, folder, monkeypatch):
    lock_folders(monkeypatch, b"/a")
    found = check_content(store, folder)
    assert found.unreadable == ("a/0.png", "a/1.png") and found.gone == () and not found.ok
