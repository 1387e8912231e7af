"""SHA-256 of many files, with threads, noticing files that change while they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from featstore.system.fsread import open_regular
from featstore.system.machine import usable_cores
from featstore.system.reporting import StageProgress

CHUNK = 1 << 20
"""Bytes read at a time; memory stays flat whatever the file's size."""

_FILES_A_TASK = 64


class Hashed(NamedTuple):
    """What one file held: digest (32 bytes), size in bytes, modification time in ns; or why it could not be read."""

    digest: bytes
    size: int
    mtime: int
    problem: str


def hash_files(
    paths: Sequence[bytes], progress: StageProgress | None = None, *, threads: int | None = None
) -> list[Hashed]:
    """Hash files.

    Parameters
    ----------
    paths : sequence of bytes
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
    tasks = [paths[start : start + _FILES_A_TASK] for start in range(0, len(paths), _FILES_A_TASK)]
    workers = threads or min(16, max(4, usable_cores()))
    results: list[Hashed] = []
    pool = ThreadPoolExecutor(min(workers, len(tasks)), thread_name_prefix="featstore-hash")
    try:
        for part in pool.map(lambda task: [hash_file(path) for path in task], tasks):
            results.extend(part)
            if progress is not None:
                progress(len(results), len(paths))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C, too: no thread is left reading
    return results


def hash_file(path: bytes) -> Hashed:
    """Hash one file. A file that changes meanwhile is read once more before it is given up."""
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
    """Hash one file; None where it changed meanwhile."""
    descriptor, before = open_regular(path)
    try:
        digest = hashlib.sha256()
        count = 0
        while count <= before.st_size and (piece := os.read(descriptor, CHUNK)):  # a growing file has no end
            digest.update(piece)
            count += len(piece)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if count != before.st_size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    return Hashed(digest.digest(), after.st_size, after.st_mtime_ns, "")
