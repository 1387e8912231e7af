import os
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from featstore.sources.address import ZipMember
from featstore.sources.zip_bytes import unpacked

TEXT = b"many words, many words, many words " * 20_000
SHORT = TEXT[:1500]


def member(path, name="a", **changes):
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    place = ZipMember(
        info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC, os.fsencode(path)
    )
    return place._replace(**changes)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("content", [TEXT, b"", b"x", os.urandom(300_000), bytes(3_000_000)])
def test_it_gives_what_zipfile_gives(tmp_path, method, content):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("before", b"1")
        archive.writestr("a", content)
    assert b"".join(unpacked(member(tmp_path / "a.zip"))) == content


def packed(tmp_path, method=zipfile.ZIP_DEFLATED, text=TEXT):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a", text)
    return tmp_path / "a.zip"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"size": 10}, "not the 10 bytes"),
        ({"size": 10**15}, "not the 1,000,000,000,000,000"),
        ({"crc": 1}, "CRC-32 differs"),
        ({"packed": 100}, "damaged"),
        ({"packed": 10**15}, None),
        ({"offset": 1}, "no member where one was listed"),
        ({"offset": 10**12}, "no member where one was listed"),
        ({"method": 0}, "disagree"),
    ],
)
def test_nothing_that_the_list_says_is_trusted(tmp_path, changes, match):
    place = member(packed(tmp_path), **changes)
    if match is None:  # more packed bytes than there are: the stream knows its own end
        assert b"".join(unpacked(place)) == TEXT
        return
    with pytest.raises(OSError, match=match):
        list(unpacked(place))


def test_of_a_bomb_no_more_is_unpacked_than_was_announced(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(200 << 20))
    count = 0
    with pytest.raises(OSError, match="not the 1,000 bytes"):
        for piece in unpacked(member(tmp_path / "a.zip", size=1000)):
            count += len(piece)
    assert count <= 1000


def test_encrypted_members_and_unknown_methods_are_named(tmp_path):
    path = packed(tmp_path)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="encrypted"):
        list(unpacked(member(path)))
    data[6] = 0
    data[8] = 14
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"method 14 \(LZMA\)"):
        list(unpacked(member(path, method=14)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_flipped_and_cut_archives_are_oserrors(tmp_path, data):
    path = packed(tmp_path, data.draw(st.sampled_from([0, 8, 12])), SHORT)
    place = member(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert b"".join(unpacked(place)) == SHORT
    except OSError as error:
        assert error.strerror
