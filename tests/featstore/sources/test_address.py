import pytest
from hypothesis import given, strategies as st

from featstore.sources.address import (
    FileRange,
    ParquetCell,
    StreamRange,
    ZipMember,
    file_of,
    is_sequential,
    parse,
    reading_order,
)

PATH = st.binary(min_size=1, max_size=30).map(lambda b: b"/" + b.replace(b"\0", b"x"))
U64 = st.integers(0, 2**64 - 1)


@given(U64, U64, U64, st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), PATH)
def test_any_place_comes_back_from_its_address(offset, packed, size, method, crc, path):
    places = [
        FileRange(offset, size, path),
        StreamRange(offset, size, path),
        ZipMember(offset, packed, size, method, crc, path),
        ParquetCell(crc, offset, b"image.bytes", path),
    ]
    for place in places:
        assert parse(place.address()) == place
        assert file_of(place.address()) == path


@given(st.binary(max_size=60))
def test_any_bytes_are_a_place_a_path_or_an_oserror(data):
    try:
        assert (parse(data) is None) == (data[:1] != b"\0")
    except OSError as error:
        assert "no known kind" in error.strerror


def test_containers_are_read_from_front_to_back_and_plain_paths_as_they_come():
    addresses = [
        FileRange(2**40, 1, b"/b.tar").address(),
        FileRange(512, 1, b"/b.tar").address(),
        b"/c.jpg",
        ParquetCell(1, 300, b"image.bytes", b"/a.parquet").address(),
        ParquetCell(1, 20, b"image.bytes", b"/a.parquet").address(),
        ParquetCell(0, 500, b"image.bytes", b"/a.parquet").address(),
    ]
    assert reading_order(addresses) == [5, 4, 3, 1, 0, 2]
    assert reading_order([b"/b", b"/a"]) is None


def test_streams_and_cells_are_sequential_and_nothing_else():
    assert is_sequential(StreamRange(1, 1, b"/a").address())
    assert is_sequential(ParquetCell(1, 1, b"i", b"/a").address())
    assert not is_sequential(FileRange(1, 1, b"/a").address())
    assert not is_sequential(ZipMember(1, 1, 1, 0, 0, b"/a").address())


def test_an_address_that_was_cut_is_refused():
    with pytest.raises(OSError, match="no known kind"):
        parse(FileRange(1, 1, b"/a").address()[:9])
