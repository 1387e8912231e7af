"""SHA-256 of many files and members of archives, with threads, noticing files that change while they are read."""

# Paths are bytes here, which pathlib does not know.

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from featstore.images import formats
from featstore.sources.address import file_of, is_sequential, reading_order
from featstore.sources.reading import pieces
from featstore.system.fsread import open_regular
from featstore.system.machine import usable_cores
from featstore.system.reporting import StageProgress

CHUNK = 1 << 20
"""Bytes read at a time; memory stays flat whatever the file's size."""

_FILES_A_TASK = 64
_STREAMS = 4  # at a time: a row group of a Parquet file may take some hundred megabytes


class Hashed(NamedTuple):
    """What one file or member held: digest (32 bytes), size in bytes, time in ns; or why it could not be read.

    The modification time of a member is its container's. `kind` is its format, as `formats.kind` tells it.
    """

    digest: bytes
    size: int
    mtime: int
    problem: str
    kind: str = ""


def hash_files(
    paths: Sequence[bytes], progress: StageProgress | None = None, *, threads: int | None = None
) -> list[Hashed]:
    """Hash files and members of archives.

    Parameters
    ----------
    paths : sequence of bytes
        Paths or addresses. Containers are read from front to back, those that are one stream by one thread each.
    progress : callable, optional
        Called in this thread with (files done, files in all).
    threads : int, optional
        Default: one a core, at least 4 (for disks) and at most 16.

    Returns
    -------
    list of Hashed
        In the order of `paths`.
    """
    if not paths:
        return []
    order = reading_order(paths)
    if order is None:
        return list(_hashed(paths, progress, threads))
    results = [Hashed(b"", 0, 0, "")] * len(paths)
    for place, hashed in zip(order, _hashed([paths[place] for place in order], progress, threads), strict=True):
        results[place] = hashed
    return results


def _hashed(paths: Sequence[bytes], progress: StageProgress | None, threads: int | None) -> Iterator[Hashed]:
    """Hash in the given order, several at a time."""
    streams = {file_of(path) for path in paths if is_sequential(path)}
    one = len(streams) == 1
    tasks = _tasks(paths, streams if not one else set())
    workers = 1 if one else threads or min(_STREAMS if streams else 16, max(4, usable_cores()))
    done = 0
    pool = ThreadPoolExecutor(min(workers, len(tasks)), thread_name_prefix="featstore-hash")
    try:
        for part in pool.map(lambda task: [hash_file(path) for path in task], tasks):
            yield from part
            done += len(part)
            if progress is not None:
                progress(done, len(paths))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C, too: no thread is left reading


def _tasks(paths: Sequence[bytes], streams: set[bytes]) -> list[Sequence[bytes]]:
    """Some files each; one of several streams is one task, for it has one reader."""
    tasks: list[Sequence[bytes]] = []
    start = 0
    while start < len(paths):
        end = min(start + _FILES_A_TASK, len(paths))
        if streams and (here := file_of(paths[start])) in streams:
            end = start + 1
            while end < len(paths) and file_of(paths[end]) == here:
                end += 1
        tasks.append(paths[start:end])
        start = end
    return tasks


def hash_file(path: bytes) -> Hashed:
    """Hash one file or member. One that changes meanwhile is read once more before it is given up."""
    problem = ""
    for _ in range(2):
        try:
            hashed = _read(path)
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            continue
        if hashed is not None:
            return hashed
        problem = "changed while it was being read"
    return Hashed(b"", 0, 0, problem)


def _read(path: bytes) -> Hashed | None:
    """Hash one file or member; None where it changed meanwhile."""
    if path[:1] == b"\0":
        return _read_member(path)
    descriptor, before = open_regular(path)
    try:
        digest = hashlib.sha256()
        count, head = 0, b""
        while count <= before.st_size and (piece := os.read(descriptor, CHUNK)):  # a growing file has no end
            head = head or piece[: formats.HEAD_BYTES]
            digest.update(piece)
            count += len(piece)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if count != before.st_size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    return Hashed(digest.digest(), after.st_size, after.st_mtime_ns, "", formats.kind(head))


def _read_member(address: bytes) -> Hashed | None:
    container = file_of(address)
    before = os.stat(container)
    digest = hashlib.sha256()
    count, head = 0, b""
    for piece in pieces(address):
        head = head or piece[: formats.HEAD_BYTES]
        digest.update(piece)
        count += len(piece)
    after = os.stat(container)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    return Hashed(digest.digest(), count, after.st_mtime_ns, "", formats.kind(head))
