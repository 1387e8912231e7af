# ruff: noqa: PTH102, PTH104, PTH105, PTH108
"""The only file that writes to disk: exclusive create, write, fsync, link, fsync the folder.

Nothing appears under its final name before all of its bytes are on disk; what has appeared is never written again.
Every call to the operating system goes through the module attribute `os` (hence no pathlib here), so that a test can
record, fail, shorten or kill the Nth one. Needs a POSIX system.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from featstore.errors import StoreError, StoreWriteError

Data = bytes | memoryview | Sequence[bytes | memoryview]

CLAIM = ".claim"
"""Ending of the marks that stand in for hard links on a file system without them."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_REFUSALS = {
    errno.ENOSPC: "the disk is full; make room and run the same command again",
    errno.EDQUOT: "the disk quota is used up; make room and run the same command again",
    errno.EROFS: "the file system is read-only; use a place that can be written to",
    errno.EACCES: "there is no permission to write there; change the permissions or use another place",
    errno.EPERM: "the system does not permit to write there; change the permissions or use another place",
    errno.EIO: "the disk reported an I/O error; check the disk, then run the same command again",
}


def publish(path: Path, data: Data, *, tmp: Path, by_content: bool = False) -> bool:
    """Put a new, immutable file on disk, whole or not at all, never over an existing one.

    The bytes go to a new file in `tmp` and are synced; a hard link gives them their final name, which fails where that
    exists; the folder is synced in both cases, since whoever made the name may have died before doing so.

    On a file system without hard links a marker `<name>.claim`, created exclusively, decides who may take a name, and a
    rename gives it. A writer that dies in between leaves a name that is never used, which is why numbers may have gaps.

    Parameters
    ----------
    path : Path
        Final name, in an existing folder.
    data : bytes or sequence of buffers
    tmp : Path
        Existing folder on the same file system.
    by_content : bool
        The name says what the bytes are, so that writers of the same name cannot disagree.

    Returns
    -------
    bool
        False where the name was taken; the file of that name is untouched.

    Raises
    ------
    StoreWriteError
        Where the disk refuses.
    """
    with _refusals(path):
        part = tmp / f"{secrets.token_hex(12)}.part"
        try:
            _write_new(part, data)
            new = _give_name(part, path, by_content)
            _sync_folder(path.parent)
        finally:
            _discard(part)
        return new


def replace(path: Path, data: Data, *, mode: int = 0o666) -> None:
    """Write a file, atomically over one that exists: readers see all of the old bytes or all of the new ones.

    Parameters
    ----------
    mode : int
        Permissions of the file, before the process's umask takes some of them away.

    Raises
    ------
    StoreWriteError
        Where the disk refuses; an existing file is then as it was.
    """
    with _refusals(path):
        part = path.parent / f".{secrets.token_hex(12)}.part"
        try:
            _write_new(part, data, mode)
            os.replace(part, path)
        except BaseException:
            _discard(part)
            raise
        _sync_folder(path.parent)


def make_directory(path: Path, *, below: Path | None = None) -> None:
    """Make a folder with its missing parents, and make each of them last.

    Parameters
    ----------
    below : Path, optional
        A parent of `path`. Every level under it is synced, also where it exists: whoever made it may have died before
        doing so.

    Raises
    ------
    StoreWriteError
        Where the disk refuses, or something that is no folder is in the way.
    """
    if below is not None and below not in path.parents:
        raise ValueError(f"{path} does not lie below {below}")
    with _refusals(path):
        levels = [path]
        while levels[-1].parent != below and (below is not None or not levels[-1].parent.exists()):
            levels.append(levels[-1].parent)
        for level in reversed(levels):
            try:
                os.mkdir(level)
            except FileExistsError:
                if not level.is_dir() or (below is not None and level.is_symlink()):
                    raise
            _sync_folder(level.parent)


def move(path: Path, target: Path) -> bool:
    """Rename a file or folder to a name that nobody else uses, and sync both folders; False where it is gone.

    Raises
    ------
    StoreWriteError
        Where the disk refuses.
    """
    with _refusals(path):
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return False
        _sync_folder(target.parent)
        _sync_folder(path.parent)
        return True


def remove(path: Path) -> bool:
    """Delete a file; False where there was none.

    Raises
    ------
    StoreWriteError
        Where the disk refuses.
    """
    with _refusals(path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        return True


def renew(path: Path) -> None:
    """Set a file's time to now, so that `gc` takes it for a young one.

    Raises
    ------
    StoreWriteError
        Where the disk refuses.
    """
    with _refusals(path):
        os.utime(path)


def _write_new(part: Path, data: Data, mode: int = 0o666) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        for buffer in [data] if isinstance(data, bytes | memoryview) else data:
            rest = memoryview(buffer).cast("B")
            while rest:
                count = os.write(descriptor, rest)
                if count <= 0:
                    raise OSError(errno.EIO, "nothing was written")
                rest = rest[count:]
        # After a failed fsync the kernel may call the next one good without the data: give the file up instead.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(part: Path, path: Path, by_content: bool) -> bool:
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_by_claim(part, path, by_content)
    return True


def _rename_by_claim(part: Path, path: Path, by_content: bool) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    else:
        return False
    if not by_content:
        claim = path.with_name(path.name + CLAIM)
        try:
            os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666))
        except FileExistsError:
            return False
    os.rename(part, path)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some network file systems have no such operation; their server syncs
            raise
    finally:
        os.close(descriptor)


def _discard(part: Path) -> None:
    with contextlib.suppress(OSError):  # what stays in tmp is harmless, and `gc` removes it
        os.unlink(part)


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        why = _REFUSALS.get(error.errno or 0, f"{error.strerror or error}; see to it, then run the same command again")
        refusal = StoreWriteError(f"{path} could not be written: {why}. What was committed before is untouched")
        refusal.errno = error.errno
        raise refusal from error
