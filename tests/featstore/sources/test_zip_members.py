import os
import stat
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from featstore.errors import ImageSetError
from featstore.sources.reading import read
from featstore.sources.zip_members import zip_members
from tests.support.archives import zip_of


def listed(path, wants_head=lambda name: False):
    return list(zip_members(os.fsencode(path), wants_head, []))


def test_members_are_those_that_zipfile_unpacks(tmp_path):
    files = {"a/1.jpg": b"one" * 3000, "ü/2.txt": b"two", "3": b""}
    path = zip_of(files, tmp_path / "a.zip")
    found = listed(path, lambda name: name.endswith(b".txt"))
    assert {m.name.decode(): read(m.record + os.fsencode(path), 10**6) for m in found} == files
    assert [m.head for m in found if m.head] == [b"two"]


def test_names_of_other_systems_are_understood(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("cats\\1.jpg", "cats\\", "x" * 9):
            entry = zipfile.ZipInfo("-")
            entry.filename = entry.orig_filename = name
            archive.writestr(entry, b"")
    data = (tmp_path / "a.zip").read_bytes().replace(b"x" * 9, "grün.jpg".encode())
    (tmp_path / "a.zip").write_bytes(data)
    assert [(m.name, m.folder) for m in listed(tmp_path / "a.zip")] == [
        (b"cats/1.jpg", False),
        (b"cats", True),
        ("grün.jpg".encode(), False),
    ]
    (tmp_path / "a.zip").write_bytes(data.replace("grün.jpg".encode(), "grünü".encode("cp437") + b".jpg"))
    assert listed(tmp_path / "a.zip")[2].name == "grünü.jpg".encode()


def test_what_cannot_be_read_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, mode in (
            ("link", stat.S_IFLNK),
            ("pipe", stat.S_IFIFO),
            ("/abs.jpg", 0),
            ("../up.jpg", 0),
            ("e.jpg", 0),
        ):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, b"x")
        archive.writestr("l.jpg", b"x" * 99, zipfile.ZIP_LZMA)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.rindex(b"e.jpg") - 46 + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    reasons = {m.name: m.reason for m in listed(tmp_path / "a.zip")}
    assert reasons[b"link"] == "a symbolic link" and reasons[b"pipe"] == "a device or pipe"
    assert "absolute" in reasons[b"/abs.jpg"] and "leads out" in reasons[b"../up.jpg"]
    assert reasons[b"e.jpg"].startswith("encrypted") and "LZMA" in reasons[b"l.jpg"]


def test_a_bomb_is_refused_by_what_it_announces(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"x")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (2**32 - 2).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ImageSetError, match=r"announces 4,294,967,294 as unpacked: a bomb"):
        listed(tmp_path / "a.zip")


def test_a_cut_archive_is_refused_with_the_reason(tmp_path):
    path = zip_of({"a.jpg": os.urandom(9000)}, tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ImageSetError, match=r"list of members at its end is missing.*download it again"):
        listed(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_flipped_and_cut_archives_never_raise_anything_else(tmp_path, data):
    path = zip_of({"a/1.jpg": b"one" * 300, "b.txt": b"two", "c.jpg": bytes(50)}, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        found = listed(path, lambda name: True)
    except (OSError, ImageSetError):
        return
    for member in found:
        if member.record:
            try:
                read(member.record + bytes(path), 10**6)
            except OSError as error:
                assert error.strerror
