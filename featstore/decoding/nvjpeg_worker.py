"""What the process beside a GPU does: read files, check their digests, decode JPEG files on the device, write pixels.

It speaks as `featstore.decoding.worker` does, but takes many tasks at a time, and answers DEFERRED for every image that
is not for the device. It is a process of its own because nvJPEG parses what strangers wrote: where it crashes, this
process ends and no other.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from featstore.decoding.nvjpeg_decoder import NvjpegDecoder
from featstore.decoding.pixels.jpeg_header import JpegHeader, read_header
from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.worker import CHANGED, DEFERRED, OK, READY, RESULT, TRANSIENT, next_task, write_at
from featstore.sources.address import is_sequential
from featstore.sources.reading import read, size_of

MAX_BATCH = 128
"""Images that are decoded together, at most."""

HELD_BYTES = 512 << 20
"""Of files that are read ahead, about; a single larger one is read alone."""

THREADS = 4
"""That read and hash files."""


@dataclass
class _File:
    """A task and what reading gave: `status` is OK where there are bytes for the device."""

    number: int
    offset: int
    size: int
    status: int = OK
    reason: str = ""
    data: bytes = b""
    header: JpegHeader | None = None


class _ByteBudget:
    """Bytes of files that may be in memory at once; taken in the order of the files, so that the first never waits."""

    def __init__(self, size: int) -> None:
        self._free = self._size = size
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size or self._free == self._size)
            self._free -= size

    def give(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify()


def main(settings: Mapping[str, Any]) -> None:
    """Serve tasks until the pipe ends. Called in a fresh process by `WorkerProcess`.

    Parameters
    ----------
    settings : mapping
        As for `featstore.decoding.worker.main`, and `device`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    decoder = NvjpegDecoder(TransformSpec.from_json(settings["spec"]), settings["device"])
    decoder.warm_up()
    limit, memory, results = int(settings["bytes_per_image"]), int(settings["memory"]), int(settings["results"])
    files: SimpleQueue[Future[_File] | None] = SimpleQueue()
    budget = _ByteBudget(HELD_BYTES)
    threading.Thread(target=_feed, args=(settings, decoder, limit, budget, files), daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libraries complain there about every bad file
    os.write(results, RESULT.pack(READY, OK, 0))
    try:
        while group := _gathered(files):
            _decode(group, decoder, memory)
            budget.give(sum(file.size for file in group))
            os.write(results, b"".join(_result(file) for file in group))
    except BrokenPipeError:
        pass  # the parent is gone
    sys.stdout.flush()
    os._exit(0)  # no thread is waited for


def _feed(
    settings: Mapping[str, Any],
    decoder: NvjpegDecoder,
    limit: int,
    budget: _ByteBudget,
    files: SimpleQueue[Future[_File] | None],
) -> None:
    """Take tasks from the pipe and have threads read their files, as far ahead as the budget allows."""

    def prepared(file: _File, path: bytes, digest: bytes) -> _File:
        try:
            file.data = read(path, limit)
        except OSError as error:
            file.status, file.reason = TRANSIENT, f"cannot be read: {error.strerror or error}"
            return file
        if hashlib.sha256(file.data).digest() != digest:
            file.status, file.reason = CHANGED, "the file changed since it was listed"
        else:
            file.header = read_header(file.data)
            file.status = OK if decoder.accepts(file.header) else DEFERRED
        if file.status != OK:
            file.data = b""
        return file

    with (
        ThreadPoolExecutor(THREADS) as readers,
        ThreadPoolExecutor(1) as reader,  # of streams, which are read in their order
        os.fdopen(int(settings["tasks"]), "rb") as tasks,
    ):
        while (task := next_task(tasks)) is not None:
            number, offset, digest, path = task
            try:
                size = size_of(path)
            except OSError:
                size = 0
            budget.take(size)
            chosen = reader if is_sequential(path) else readers
            files.put(chosen.submit(prepared, _File(number, offset, size), path, digest))
    files.put(None)


def _gathered(files: SimpleQueue[Future[_File] | None]) -> list[_File]:
    """The files that are there by now, at least one and at most `MAX_BATCH`; none where the tasks have ended."""
    group: list[_File] = []
    while len(group) < MAX_BATCH:
        try:
            future = files.get(block=not group)
        except Empty:
            break
        if future is None:
            if group:
                files.put(None)
            break
        group.append(future.result())
    return group


def _decode(group: Sequence[_File], decoder: NvjpegDecoder, memory: int) -> None:
    """Decode what is for the device, and write the pixels; others keep the status that they have."""
    here = [file for file in group if file.status == OK]
    if not here:
        return
    headers = [file.header for file in here if file.header is not None]
    pixels, good, short = decoder.decode([file.data for file in here], headers)
    for file, fine, small in zip(here, good, short, strict=True):
        file.data = b""
        if small:
            file.status, file.reason = TRANSIENT, "the device has not enough memory to decode it"
        elif not fine:
            file.status = DEFERRED
    size = pixels[0].nbytes
    breaks = [i for i in range(1, len(here)) if here[i].offset != here[i - 1].offset + size]
    for first, last in zip([0, *breaks], [*breaks, len(here)], strict=True):
        write_at(memory, np.ascontiguousarray(pixels[first:last]).data.cast("B"), here[first].offset)


def _result(file: _File) -> bytes:
    text = file.reason.encode("utf-8", "backslashreplace")[:1000]
    return RESULT.pack(file.number, file.status, len(text)) + text
