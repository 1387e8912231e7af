"""Opening what may no longer be the file that was listed."""

import os

import pytest

from featstore.regularfile import open_regular


def test_regular_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    descriptor, status = open_regular(os.fsencode(tmp_path / "x"))
    assert os.read(descriptor, 9) == b"abc" and status.st_size == 3
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_anything_else_is_refused_at_once_and_closed(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    probe = os.dup(0)
    os.close(probe)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(os.fsencode(path))
    again = os.dup(0)
    os.close(again)
    assert again == probe  # the lowest free descriptor is still the same


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_regular(os.fsencode(tmp_path / "x"))
