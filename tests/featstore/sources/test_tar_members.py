import io
import os
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from featstore.errors import ImageSetError
from featstore.sources import gzip_stream
from featstore.sources.reading import read
from featstore.sources.tar_members import HEADER_BYTES, tar_members
from tests.support.archives import tar_of

FILES = {"a/1.jpg": b"one" * 300, "a/2.txt": b"two", "b/" + "x" * 300 + ".jpg": bytes(1024), "ü.png": b""}


def listed(path, packed=False, wants_head=lambda name: False):
    notes = []
    return list(tar_members(os.fsencode(path), packed, wants_head, notes)), notes


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_tarfile_unpacks(tmp_path, packed, format):
    files = {name: data for name, data in FILES.items() if format != tarfile.USTAR_FORMAT or len(name) < 100}
    with tarfile.open(tmp_path / "a", "w:gz" if packed else "w", format=format) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    found, notes = listed(tmp_path / "a", packed, lambda name: name.endswith(b".txt"))
    assert notes == []
    assert {m.name.decode(): read(m.record + os.fsencode(tmp_path / "a"), 10**6) for m in found} == files
    assert [m.head for m in found if m.head] == [b"two"]


def test_links_devices_and_escapes_are_told_and_have_no_address(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("d", tarfile.CHRTYPE),
            ("p", tarfile.FIFOTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        for name in ("/etc/x.jpg", "../x.jpg", "ok.jpg"):
            entry = tarfile.TarInfo("ok.jpg")
            entry.name = name
            archive.addfile(entry)
        entry = tarfile.TarInfo("folder")
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    found, _ = listed(tmp_path / "a.tar")
    assert [(m.name, m.reason) for m in found] == [
        (b"l", "a symbolic link"),
        (b"h", "a hard link"),
        (b"d", "a device"),
        (b"p", "a named pipe"),
        (b"/etc/x.jpg", "its name is absolute: it leads out of the archive"),
        (b"../x.jpg", "its name leads out of the archive"),
        (b"ok.jpg", ""),
        (b"folder", ""),
    ]
    assert [bool(m.record) for m in found] == [False] * 6 + [True, False]


@pytest.mark.parametrize("packed", [False, True])
def test_what_lies_before_a_cut_stays(tmp_path, packed):
    import gzip

    path = tar_of({f"{i}.jpg": os.urandom(5000) for i in range(9)}, tmp_path / "a.tar")
    data = path.read_bytes()[: 5 * 5632 + 1000]
    path.write_bytes(gzip.compress(data)[:-30] if packed else data)
    found, notes = listed(path, packed)
    whole = [m for m in found if m.record]
    assert [m.name for m in whole] == [b"%d.jpg" % i for i in range(5)]
    assert len(notes) == 1 and "after 5" in notes[0] and "download it again" in notes[0]


def test_an_archive_without_closing_mark_is_noted(tmp_path):
    path = tar_of({"a.jpg": bytes(512)}, tmp_path / "a.tar")
    path.write_bytes(path.read_bytes()[:1024])
    found, notes = listed(path)
    assert len(found) == 1 and "no closing mark after its 1 members" in notes[0]


def test_a_header_without_end_is_not_read(tmp_path):
    big = tarfile.TarInfo("x")
    big.type, big.size = tarfile.XHDTYPE, 50 << 20
    with (tmp_path / "a.tar").open("wb") as file:
        tar_of({"a.jpg": b"a"}, tmp_path / "b.tar")
        file.write((tmp_path / "b.tar").read_bytes()[:1024])
        file.write(big.tobuf() + bytes(50 << 20))
    found, notes = listed(tmp_path / "a.tar")
    assert [m.name for m in found] == [b"a.jpg"]
    assert f"a header of more than {HEADER_BYTES:,} bytes" in notes[0]


def test_small_files_whose_first_bytes_are_read_do_not_make_a_stream_go_back(tmp_path, monkeypatch):
    tar_of({f"{i}.cls": b"1" * (i % 3) for i in range(50)}, tmp_path / "a.tgz", "w:gz")
    back = []
    seek = gzip_stream.GzipStream.seek
    monkeypatch.setattr(
        gzip_stream.GzipStream, "seek", lambda self, at, *how: back.append(at < self.tell()) or seek(self, at)
    )
    found, notes = listed(tmp_path / "a.tgz", True, lambda name: True)
    assert [m.head for m in found] == [b"1" * (i % 3) for i in range(50)] and not notes and not any(back)


def test_a_member_of_absurd_size_ends_the_list(tmp_path):
    header = tarfile.TarInfo("big.jpg")
    header.pax_headers = {"size": str(10**30)}
    tar_of({"a.jpg": b"a"}, tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()[:1024] + header.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    (tmp_path / "a.tar").write_bytes(data)
    found, notes = listed(tmp_path / "a.tar")
    assert [m.name for m in found] == [b"a.jpg"] and "a.tar is damaged after 1 members" in notes[0]


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gzip_stream, "GRACE", 1 << 20)
    tar_of({"a.jpg": bytes(60 << 20)}, tmp_path / "a.tgz", "w:gz")
    with pytest.raises(ImageSetError, match=r"a\.tgz.*a bomb is not read"):
        listed(tmp_path / "a.tgz", True)


def test_memory_does_not_grow_with_the_number_of_members(tmp_path):
    import tracemalloc

    header = tarfile.TarInfo("x" * 40).tobuf()
    (tmp_path / "a.tar").write_bytes(header * 20_000 + bytes(1024))
    tracemalloc.start()
    try:
        for number, _ in enumerate(tar_members(bytes(tmp_path / "a.tar"), False, lambda name: False, [])):
            if number == 1000:
                before = tracemalloc.get_traced_memory()[0]
        assert number == 19_999
        assert tracemalloc.get_traced_memory()[1] - before < 200_000
    finally:
        tracemalloc.stop()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_flipped_and_cut_archives_never_raise_anything_else(tmp_path, data):
    packed = data.draw(st.booleans())
    path = tar_of(FILES, tmp_path / "a.tar", "w:gz" if packed else "w")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, min(len(content), 6000) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found, _ = listed(path, packed, lambda name: True)
    except (OSError, ImageSetError):
        return
    for member in found:
        if member.record:
            try:
                assert len(read(member.record + bytes(path), 10**6)) == member.size
            except OSError as error:
                assert error.strerror
