import os

import pytest

from featstore.errors import StoreDamagedError, StoreError
from featstore.system import fsread
from featstore.system.fsread import open_regular

BYTES = bytes(range(256)) * 3000  # several pieces


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a").write_bytes(BYTES)
    return tmp_path / "a"


def test_read_bytes_returns_the_file(file):
    assert fsread.read_bytes(file, len(BYTES)) == BYTES


def test_read_bytes_refuses_files_over_the_limit(file):
    with pytest.raises(StoreDamagedError, match=f"has {len(BYTES)} bytes, expected at most 10"):
        fsread.read_bytes(file, 10)


def test_a_missing_file_is_a_file_not_found(tmp_path):
    for read in (
        lambda p: fsread.read_bytes(p, 10),
        lambda p: fsread.read_spans(p, 1, [(0, 1)]),
        lambda p: fsread.read_into(p, 0, 0, memoryview(bytearray()), 1, print),
        lambda p: list(fsread.read_pieces(p, 1, [(0, 1)], 1)),
        lambda p: fsread.check_size(p, 1),
    ):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreDamagedError, match="no regular file"):
        fsread.read_bytes(tmp_path / "pipe", 10)


def test_links_are_not_followed(tmp_path, file):
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(StoreDamagedError, match="symbolic link"):
        fsread.read_bytes(tmp_path / "link", 1 << 30)
    with pytest.raises(StoreDamagedError, match="no regular file"):
        fsread.check_size(tmp_path / "link", len(BYTES))


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(StoreDamagedError, match="no regular file"):
        fsread.read_bytes(tmp_path, 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error_that_says_so(file):
    file.chmod(0)
    with pytest.raises(StoreError, match="permission"):
        fsread.read_bytes(file, 1 << 30)


def test_read_spans_takes_parts_of_a_file_of_the_right_size(file):
    assert fsread.read_spans(file, len(BYTES), [(5, 3), (0, 2)]) == [BYTES[5:8], BYTES[:2]]
    with pytest.raises(StoreDamagedError, match=f"has {len(BYTES)} bytes, expected 7"):
        fsread.read_spans(file, 7, [(0, 1)])
    with pytest.raises(StoreDamagedError, match="ends after"):
        fsread.read_spans(file, len(BYTES), [(len(BYTES) - 1, 2)])


def test_read_into_fills_the_buffer_and_shows_it_piece_by_piece(file):
    buffer, pieces = bytearray(5000), []
    fsread.read_into(file, len(BYTES), 77, memoryview(buffer), 2000, lambda piece: pieces.append(bytes(piece)))
    assert buffer == BYTES[77:5077] == b"".join(pieces) and [len(piece) for piece in pieces] == [2000, 2000, 1000]
    with pytest.raises(StoreDamagedError, match="expected 7"):
        fsread.read_into(file, 7, 0, memoryview(buffer), 2000, pieces.append)
    with pytest.raises(StoreDamagedError, match="ends after"):
        fsread.read_into(file, len(BYTES), len(BYTES) - 10, memoryview(buffer), 2000, pieces.append)


def test_check_size(file):
    fsread.check_size(file, len(BYTES))
    with pytest.raises(StoreDamagedError, match="expected 3"):
        fsread.check_size(file, 3)


def test_lists_hold_only_what_is_really_there(tmp_path, file):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert list(fsread.list_files(tmp_path)) == ["a"] and fsread.list_files(tmp_path)["a"].st_size == len(BYTES)
    assert fsread.list_folders(tmp_path) == ["folder"]
    assert fsread.list_files(tmp_path / "none") == {} and fsread.list_folders(tmp_path / "none") == []


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StoreDamagedError, match="holds no links"):
        fsread.list_files(tmp_path / "link")


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


def test_read_pieces_reads_the_parts_piece_by_piece(file):
    found = [(at, bytes(part)) for at, part in fsread.read_pieces(file, len(BYTES), [(3, 1000), (5000, 20)], 400)]
    assert [(at, len(part)) for at, part in found] == [(3, 400), (403, 400), (803, 200), (5000, 20)]
    assert all(part == BYTES[at : at + len(part)] for at, part in found)
    assert list(fsread.read_pieces(file, len(BYTES), [], 400)) == []
    with pytest.raises(StoreDamagedError, match="expected 5; run `featstore repair`"):
        list(fsread.read_pieces(file, 5, [(0, 5)], 400))
