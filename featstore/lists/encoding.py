"""The text of a list: UTF-8, UTF-16 or UTF-32, with or without a byte order mark; bytes that fit none are kept."""

from __future__ import annotations

import codecs

from featstore.errors import ImageSetError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_of(content: bytes, place: str) -> str:
    r"""The text of a list.

    Bytes that are not UTF-8 stay in it as surrogates (`surrogateescape`): file names may be any bytes, and these must
    reach the disk as they are. `windows_text` reads them as Windows-1252.

    Parameters
    ----------
    content : bytes
    place : str
        The list, for messages.

    Raises
    ------
    ImageSetError
        Where there are zero bytes: this is no text.

    Examples
    --------
    >>> text_of("\ufeffpath,label".encode(), "a.csv"), text_of("path".encode("utf-16-be"), "a.csv")
    ('path,label', 'path')
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None) or _by_zeros(content)
    if encoding is not None:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            raise ImageSetError(
                f"{place} begins as {encoding.upper()} text and is damaged at byte {error.start}; save it as UTF-8"
            ) from error
    if b"\0" in content:
        raise ImageSetError(
            f"{place} holds zero bytes, so it is no text; expected a list as text (CSV, TSV, JSON), saved as UTF-8"
        )
    return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _by_zeros(content: bytes) -> str | None:
    """UTF-16 without a mark: nearly every other byte of Western text is zero."""
    head = content[:4096]
    if len(head) < 4:
        return None
    even, odd = head[::2].count(0) / len(head) * 2, head[1::2].count(0) / len(head) * 2
    if even > 0.6 and odd < 0.1:
        return "utf-16-be"
    return "utf-16-le" if odd > 0.6 and even < 0.1 else None


def windows_text(cell: str) -> str:
    r"""A cell with bytes that are not UTF-8, read as Windows-1252; any other cell as it is.

    Examples
    --------
    >>> windows_text(b"gr\xfcn".decode("utf-8", "surrogateescape"))
    'grün'
    >>> windows_text("grün")
    'grün'
    """
    if not holds_bytes(cell):
        return cell
    try:
        return cell.encode("utf-8", "surrogateescape").decode("cp1252")
    except UnicodeError:
        return cell


def holds_bytes(cell: str) -> bool:
    r"""Whether a text holds bytes that are not UTF-8.

    Examples
    --------
    >>> holds_bytes("grün"), holds_bytes(b"gr\xfcn".decode("utf-8", "surrogateescape"))
    (False, True)
    """
    if cell.isascii():
        return False
    return any("\udc80" <= letter <= "\udcff" for letter in cell)
