"""The text of a list, whatever its encoding; bytes of file names that are not UTF-8."""

import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError
from featstore.lists.encoding import holds_bytes, text_of, windows_text

TEXT = "path,label\r\nphotos/grün.jpg,蟻\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_with_a_mark_is_read(encoding):
    assert text_of(TEXT.encode(encoding), "a.csv") == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_known_without_its_mark_and_with_either_order(encoding):
    western = "path,label\r\nphotos/a.jpg,ant\r\n"
    assert text_of(western.encode(encoding), "a.csv") == western
    assert text_of(("\ufeff" + TEXT).encode(encoding), "a.csv") == TEXT


@given(st.binary(max_size=60))
def test_bytes_come_back_or_are_refused(data):
    try:
        text = text_of(data, "a.csv")
    except ImageSetError as error:
        assert "UTF-8" in str(error)
    else:
        kept = data.removeprefix(b"\xef\xbb\xbf")
        marked = data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:4] == b"\0\0\xfe\xff"
        assert marked or b"\0" in data or text.encode("utf-8", "surrogateescape") == kept


def test_zero_bytes_and_a_cut_utf_16_text_are_refused_in_words():
    with pytest.raises(ImageSetError, match=r"a.csv holds zero bytes, so it is no text; expected .* saved as UTF-8"):
        text_of(b"path,label\n0.jpg,a\0\n", "a.csv")
    with pytest.raises(ImageSetError, match="begins as UTF-16 text and is damaged at byte 10; save it as UTF-8"):
        text_of("path,".encode("utf-16")[:-1], "a.csv")


def test_cells_of_windows_are_read_as_such_one_by_one():
    cell = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert (holds_bytes(cell), windows_text(cell)) == (True, "café")
    assert (holds_bytes("café"), windows_text("café")) == (False, "café")
    odd = b"\x81".decode("utf-8", "surrogateescape")  # a byte that Windows-1252 has not
    assert windows_text(odd) == odd
