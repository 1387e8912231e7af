"""Members of a zip archive, from the list at its end."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, cast

from featstore.errors import ImageSetError
from featstore.sources.address import MEMBER, ZipMember
from featstore.sources.gzip_stream import GRACE, RATIO
from featstore.sources.member import HEAD_BYTES, Member, harmless
from featstore.sources.zip_bytes import BZIP2, DEFLATED, NAMES, STORED, unpacked
from featstore.system.fsread import open_regular
from featstore.system.reporting import printable_path

LIST_BYTES = 1 << 30
"""The largest list of members that is read."""

_ENCRYPTED, _UTF8 = 1, 0x800


class _Bounded:
    """The file that `zipfile` reads the list from: it gets no more than `LIST_BYTES` at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, LIST_BYTES + 1) if size >= 0 else LIST_BYTES + 1)
        if len(data) > LIST_BYTES:
            raise OSError(0, f"its list of members has more than {LIST_BYTES:,} bytes")
        return data


def zip_members(path: bytes, wants_head: Callable[[bytes], bool], notes: list[str]) -> Iterator[Member]:
    """List a zip archive.

    Parameters
    ----------
    path, wants_head, notes
        As `featstore.sources.tar_members.tar_members` takes them.

    Raises
    ------
    ImageSetError
        The list of members is missing or damaged, or announces far more bytes than any data set would have.
    OSError
        Where it cannot be opened.
    """
    place = printable_path(os.path.basename(path))  # noqa: PTH119 - bytes
    descriptor, status = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        try:
            with zipfile.ZipFile(cast(IO[bytes], _Bounded(file))) as archive:
                entries = archive.infolist()
        except Exception as error:  # zipfile may raise anything on hostile bytes
            raise ImageSetError(
                f"{place}: the list of members at its end is missing or damaged ({error}), so the file was cut off or "
                "is no zip archive; copy or download it again"
            ) from error
    total = sum(entry.file_size for entry in entries)
    if total > RATIO * status.st_size + GRACE:
        raise ImageSetError(
            f"{place} has {status.st_size:,} bytes and announces {total:,} as unpacked: a bomb is not read; expected "
            "an archive of images"
        )
    entries.reverse()
    while entries:  # taken off as they go: together they would double the memory
        entry = entries.pop()
        member = _member(entry)
        if member.record and wants_head(member.name):
            try:
                found = ZipMember._make((*MEMBER.unpack(member.record)[2:], path))
                member = member._replace(head=next(iter(unpacked(found)), b"")[:HEAD_BYTES])
            except OSError as error:
                member = member._replace(record=b"", reason=f"cannot be read: {error.strerror}")
        yield member


def _member(entry: zipfile.ZipInfo) -> Member:
    name, reason = harmless(_name(entry))
    if entry.is_dir() or entry.orig_filename.endswith("\\"):
        return Member(name, 0, b"", reason=reason, folder=not reason)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if not reason:
        reason = _reason(entry, kind)
    if not reason and not name:
        reason = "a file without a name"
    record = b""
    if not reason:
        try:
            record = MEMBER.pack(
                b"\0", b"Z", entry.header_offset, entry.compress_size, entry.file_size, entry.compress_type, entry.CRC
            )
        except struct.error:
            reason = "damaged: it lies outside of the archive"
    return Member(name, entry.file_size, record, reason=reason)


def _reason(entry: zipfile.ZipInfo, kind: int) -> str:
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted; unpack the archive with its password, and name the folder"
    if kind == stat.S_IFLNK:
        return "a symbolic link"
    if kind not in (0, stat.S_IFREG):
        return "a device or pipe"
    if entry.compress_type not in (STORED, DEFLATED, BZIP2):
        name = NAMES.get(entry.compress_type, "unknown")
        return f"packed by method {entry.compress_type} ({name}), which is not read; pack it with deflate"
    return ""


def _name(entry: zipfile.ZipInfo) -> bytes:
    r"""The name as bytes: UTF-8 where it says so or is so, else code page 437; \ of Windows is a border of folders."""
    text = entry.orig_filename
    if entry.flag_bits & _UTF8:
        name = text.encode("utf-8", "surrogateescape")
    else:
        name = text.encode("cp437", "replace")
        try:
            name.decode()
        except UnicodeDecodeError:
            name = text.encode()
    return name.replace(b"\\", b"/")
