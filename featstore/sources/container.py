"""Containers: archives whose members are read in place; which kind a file is, and what it holds."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH113, PTH119, PTH122

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from featstore.errors import ImageSetError
from featstore.sources.gzip_stream import GzipStream
from featstore.sources.member import Member
from featstore.sources.tar_members import tar_members
from featstore.sources.zip_members import zip_members
from featstore.system.fsread import open_regular
from featstore.system.reporting import printable_path

READABLE = (b".zip", b".tar", b".tar.gz", b".tgz")
"""Endings of archives that are read in place."""

FOREIGN = (
    *(b".tar.bz2", b".tbz", b".tbz2", b".tar.xz", b".txz", b".tar.zst", b".tzst", b".tar.lz", b".tar.z"),
    *(b".7z", b".rar", b".cab", b".iso", b".dmg"),
)
"""Endings of archives that are not."""

_MAGIC = re.compile(
    rb"""
      (?P<zip>PK\x03\x04|PK\x05\x06)
    | (?P<gzip>\x1f\x8b)
    | (?P<tar>.{257}ustar)
    | (?P<bzip2>BZh[1-9])
    | (?P<xz>\xfd7zXZ\x00)
    | (?P<Zstandard>\x28\xb5\x2f\xfd)
    | (?P<seven_zip>7z\xbc\xaf\x27\x1c)
    | (?P<RAR>Rar!\x1a\x07)
    """,
    re.VERBOSE | re.DOTALL,
)
_ARCHIVES = ("zip", "gzip", "tar", "seven_zip", "RAR")
_BLOCK = 512


def is_container(path: bytes) -> bool:
    """Whether a file is an archive: by its name, or, where the name has no ending at all, by its first bytes.

    Archives that are not read in place (.7z, .rar, .tar.bz2) are some, too: listing them says what to do.

    Parameters
    ----------
    path : bytes

    Examples
    --------
    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     zipfile.ZipFile(f"{folder}/pets.zip", "w").close()
    ...     is_container(f"{folder}/pets.zip".encode()), is_container(folder.encode())
    (True, False)
    """
    if not os.path.isfile(path):
        return False
    if named_like_archive(path):
        return True
    if os.path.splitext(os.path.basename(path))[1]:
        return False  # a zip by its first bytes is also a spreadsheet, a checkpoint, an array
    try:
        return _kind(_first_block(path)) in _ARCHIVES
    except OSError:
        return False


def named_like_archive(path: bytes) -> bool:
    """Whether a name ends like that of an archive, readable or not."""
    return path.lower().endswith(READABLE + FOREIGN)


def looks_like_archive(head: bytes) -> bool:
    """Whether the first bytes of a file, 512 or all of them, are those of an archive."""
    return _kind(head) in _ARCHIVES


def members(
    path: bytes, wants_head: Callable[[bytes], bool] = lambda name: False, notes: list[str] | None = None
) -> Iterator[Member]:
    """List an archive as a stream; its content decides how, not its name.

    Parameters
    ----------
    path : bytes
    wants_head : callable
        Whether the first bytes of a file of such a name are to be read, too.
    notes : list of str, optional
        Gets what is wrong with the archive as a whole, such as where it was cut off.

    Raises
    ------
    ImageSetError
        Where it cannot be read as an archive; the message says what to do.
    """
    notes = [] if notes is None else notes
    place = printable_path(path)
    try:
        kind = _kind(_first_block(path))
        if kind == "gzip":
            _require_tar_inside(path, place)
            yield from tar_members(path, True, wants_head, notes)
        elif kind == "zip":
            yield from zip_members(path, wants_head, notes)
        elif kind == "tar" or (not kind and path.lower().endswith(b".tar")):
            yield from tar_members(path, False, wants_head, notes)
        else:
            raise ImageSetError(_unreadable(path, place, kind))
    except OSError as error:
        raise ImageSetError(f"{place} cannot be read: {error.strerror or error}") from error


def _first_block(path: bytes) -> bytes:
    descriptor, _ = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_BLOCK)


def _kind(head: bytes) -> str:
    match = _MAGIC.match(head)
    return (match.lastgroup or "") if match else ""


def _require_tar_inside(path: bytes, place: str) -> None:
    stream = GzipStream(path)
    try:
        head = stream.read(_BLOCK)
    except OSError as error:
        raise ImageSetError(f"{place} cannot be unpacked: {error.strerror}; copy or download it again") from error
    finally:
        stream.close()
    if _kind(head) != "tar" and not (len(head) == _BLOCK and path.lower().endswith((b".tar.gz", b".tgz"))):
        raise ImageSetError(
            f"{place} is packed by gzip and holds no tar archive; expected {_listed()}, a folder or a list: unpack it "
            "and name what it holds"
        )


def _unreadable(path: bytes, place: str, kind: str) -> str:
    if kind in ("bzip2", "xz", "Zstandard"):
        return (
            f"{place} is packed by {kind}, where no member can be reached but by unpacking all before it again and "
            f"again; expected {_listed()}: unpack it and name the folder, or pack it anew"
        )
    if kind:
        name = {"seven_zip": "7z"}.get(kind, kind)
        return f"{place} is a {name} archive, which is not read; expected {_listed()}: unpack it and name the folder"
    if not os.path.getsize(path):  # noqa: PTH202 - bytes
        return f"{place} is an empty file; expected {_listed()}: copy or download it again"
    return (
        f"{place} is named like an archive, but its first bytes are not those of one (a page of a web site that was "
        f"saved in its place?); expected {_listed()}: download it again"
    )


def _listed() -> str:
    return ", ".join(ending.decode() for ending in READABLE[:-1]) + " or " + READABLE[-1].decode()
