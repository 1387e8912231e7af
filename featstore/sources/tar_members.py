"""Members of a tar archive, plain or packed by gzip, as a stream: memory does not grow with their number."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator

from featstore.errors import ImageSetError
from featstore.sources.address import RANGE
from featstore.sources.gzip_stream import BombError, GzipStream
from featstore.sources.member import HEAD_BYTES, Member, harmless
from featstore.system.fsread import open_regular
from featstore.system.reporting import printable_path

HEADER_BYTES = 1 << 20
"""The largest header of a member that is read; a name of 1 MiB is no name."""

_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


class _HeaderTooLargeError(OSError):
    """More bytes than any header has."""


class _Headers:
    """The file that `tarfile` reads headers from: it gets no more than `HEADER_BYTES` for one member."""

    def __init__(self, file: GzipStream | _PlainFile) -> None:
        self._file = file
        self.left = HEADER_BYTES
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        self.left -= size if size >= 0 else HEADER_BYTES + 1  # counted also at the end, where a loop may wait for more
        if self.left < 0:
            raise _HeaderTooLargeError(0, f"a header of more than {HEADER_BYTES:,} bytes")
        data = self._file.read(size)
        if size > 1:  # tarfile reads one byte to see whether the file goes on
            self.last = data
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _PlainFile:
    """A tar archive on disk."""

    def __init__(self, path: bytes) -> None:
        descriptor, status = open_regular(path)
        self._file = os.fdopen(descriptor, "rb", buffering=4096)
        self.read, self.seek, self.tell, self.close = (
            self._file.read,
            self._file.seek,
            self._file.tell,
            self._file.close,
        )
        self.size = status.st_size


def tar_members(path: bytes, packed: bool, wants_head: Callable[[bytes], bool], notes: list[str]) -> Iterator[Member]:
    """List a tar archive. What lies before damage or before the place where it was cut off stays.

    Parameters
    ----------
    path : bytes
    packed : bool
        Whether the whole is packed by gzip.
    wants_head : callable
        Whether the first bytes of a file of such a name are to be read.
    notes : list of str
        Gets what is wrong with the archive as a whole.

    Raises
    ------
    ImageSetError
        Where it unpacks to far more than any data set would.
    OSError
        Where it cannot be opened.
    """
    file = GzipStream(path) if packed else _PlainFile(path)
    headers = _Headers(file)
    place = printable_path(os.path.basename(path))  # noqa: PTH119 - bytes
    count, before = 0, -1
    try:
        archive = tarfile.TarFile(
            fileobj=headers,  # type: ignore[arg-type]
            mode="r",
            format=tarfile.PAX_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
        )
        while (entry := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            end = entry.offset_data + entry.size
            if entry.size < 0 or archive.offset <= before:
                notes.append(_damaged(place, count, "a member of negative size"))
                return
            before = archive.offset
            member = _member(entry, packed)
            if member.record:
                if wants_head(member.name):
                    file.seek(entry.offset_data)
                    member = member._replace(head=file.read(min(HEAD_BYTES, entry.size)))
                if isinstance(file, _PlainFile):
                    cut = end > file.size
                else:
                    cut = file.seek(max(end - 1, entry.offset_data)) < end - 1
                if cut:
                    yield member._replace(record=b"", head=b"", reason="the archive is cut off in the middle of it")
                    notes.append(_cut(place, count))
                    return
            headers.left = HEADER_BYTES
            count += 1
            yield member
        if not headers.last:
            notes.append(f"{place} has no closing mark after its {count:,} members; it may have been cut off there")
        elif headers.last.strip(b"\0"):
            notes.append(_damaged(place, count, f"no header at byte {archive.offset:,}"))
    except _HeaderTooLargeError as error:
        notes.append(_damaged(place, count, str(error.strerror)))
    except BombError as error:
        raise ImageSetError(f"{place}: {error.strerror}; expected an archive of images") from error
    except OSError as error:
        notes.append(_damaged(place, count, str(error.strerror or error)))
    except tarfile.ReadError as error:
        notes.append(_cut(place, count) if "end of data" in str(error) else _damaged(place, count, str(error)))
    except Exception as error:  # noqa: BLE001 - tarfile may raise anything on hostile bytes
        notes.append(_damaged(place, count, f"{type(error).__name__}: {error}"))
    finally:
        file.close()


def _member(entry: tarfile.TarInfo, packed: bool) -> Member:
    name, reason = harmless(entry.name.encode("utf-8", "surrogateescape"))
    if entry.isdir():
        return Member(name, 0, b"", reason=reason, folder=not reason)
    if not reason:
        reason = "a sparse file" if entry.issparse() else "" if entry.isreg() else _KINDS.get(entry.type, "no file")
    if not reason and not name:
        reason = "a file without a name"
    if reason:
        return Member(name, entry.size, b"", reason=reason)
    record = RANGE.pack(b"\0", b"S" if packed else b"R", entry.offset_data, entry.size)
    return Member(name, entry.size, record)


def _cut(place: str, count: int) -> str:
    return f"{place} is cut off after {count:,} whole members, which are taken; copy or download it again for more"


def _damaged(place: str, count: int, what: str) -> str:
    return f"{place} is damaged after {count:,} members, which are taken ({what}); copy or download it again"
