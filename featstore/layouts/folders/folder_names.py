"""Folder names: which say only that there are pictures, or are pieces of one heap; one form for each."""

from __future__ import annotations

import re
import unicodedata

_GENERIC = frozenset(
    b"images image imgs img pictures picture pics photos photo data dataset jpg jpeg jpegs jpegimages png pngs raw "
    b"files unknown all labeled labelled".split()
)
_DOCUMENTATION = frozenset(
    b"doc docs documentation asset assets screenshot screenshots figure figures fig figs plot plots result results "
    b"output outputs example examples sample samples demo demos logo logos icon icons static readme notebook notebooks "
    b"graph graphs chart charts report reports media misc other others extra extras".split()
)
_PIECES = frozenset(b"part parts batch chunk shard piece volume vol images image imgs img photos pictures data".split())
_LETTERS, _DIGITS = re.compile(rb"[^\W\d_]+"), re.compile(rb"[0-9]+")


def is_generic(name: bytes) -> bool:
    """Whether a folder's name says only that it holds pictures.

    Examples
    --------
    >>> is_generic(b"Images"), is_generic(b"cats")
    (True, False)
    """
    return name.lower() in _GENERIC


def is_documentation(name: bytes) -> bool:
    """Whether a folder's name says that its pictures illustrate a text or a program.

    Examples
    --------
    >>> is_documentation(b"docs"), is_documentation(b"result-figures"), is_documentation(b"cats")
    (True, True, False)
    """
    return bool(set(name.lower().replace(b"-", b"_").split(b"_")) & _DOCUMENTATION)


def are_pieces(names: list[bytes]) -> bool:
    """Whether folders are pieces of one heap of images by their names: images_part_1, images_part_2.

    Examples
    --------
    >>> are_pieces([b"images_part_1", b"images_part_2"]), are_pieces([b"class_1", b"class_2"])
    (True, False)
    """
    words = {tuple(_LETTERS.findall(name.lower())) for name in names}
    numbers = {tuple(_DIGITS.findall(name)) for name in names}
    return len(names) > 1 and len(words) == 1 and len(numbers) == len(names) and bool(_PIECES & set(*words))


def one_form(name: bytes) -> bytes:
    r"""One form for a name that Unicode can write in several.

    Examples
    --------
    >>> one_form(b"caf\x65\xcc\x81") == "caf\xe9".encode()
    True
    """
    if name.isascii():
        return name
    try:
        return unicodedata.normalize("NFC", name.decode()).encode()
    except UnicodeDecodeError:
        return name
