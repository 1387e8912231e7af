import os

import pytest

from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.shards import shards


def names(found):
    return None if found is None else [path.decode().split("/")[-1] for path in found]


@pytest.fixture
def folder(tmp_path):
    for name in ("t-000.tar", "t-001.tar", "t-010.tar", "v-0.tar.gz", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def found(path):
    return names(shards(os.fsencode(path)))


def test_numbers_in_braces_keep_their_zeros(folder):
    assert found(folder / "t-{000..002}.tar") == ["t-000.tar", "t-001.tar", "t-002.tar"]
    assert found(folder / "{t,v}-00{0..1}.tar") == ["t-000.tar", "t-001.tar", "v-000.tar", "v-001.tar"]


def test_patterns_and_folders_of_archives(folder):
    assert found(folder / "t-*.tar") == ["t-000.tar", "t-001.tar", "t-010.tar"]
    assert found(folder / "t-00[1-9].tar") == ["t-001.tar"]
    assert found(folder) == ["t-000.tar", "t-001.tar", "t-010.tar", "v-0.tar.gz"]


def test_other_folders_and_files_are_none(folder):
    assert found(folder / "t-000.tar") is None
    assert found(folder / "notes.txt") is None
    assert found(folder / "{a,b}") is None
    (folder / "x{0..1}.tar").write_bytes(b"")
    assert found(folder / "x{0..1}.tar") is None
    (folder / "a.jpg").write_bytes(b"")
    assert found(folder) is None
    (folder / "a.jpg").unlink()
    (folder / "cats").mkdir()
    assert found(folder) is None


def test_what_means_nothing_or_too_much_is_refused(folder):
    with pytest.raises(ImagesNotFoundError, match="none of the 3 files that .* means is there, such as .*z-7.tar"):
        shards(os.fsencode(folder / "z-{7..9}.tar"))
    with pytest.raises(ImagesNotFoundError, match="no file has a name like"):
        shards(os.fsencode(folder / "z*.tar"))
    with pytest.raises(ImageSetError, match="means 1,000,000 files"):
        shards(os.fsencode(folder / "z-{000000..999999}.tar"))
    with pytest.raises(ImageSetError, match="means 1,000,000 files"):
        shards(os.fsencode(folder / "z-{000..999}-{000..999}.tar"))
