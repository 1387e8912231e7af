"""What a decoding process does: read a file, check its digest, decode, transform, write the pixels, say how it went.

It imports no torch. Its limits make a hostile image harmless: memory (RLIMIT_AS), time (SIGALRM, so that it also ends
when nobody watches), no core dump, and the kernel's out-of-memory killer takes it before its parent. It ends when its
parent does, because its task pipe ends then.
"""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import DecodeError
from featstore.sources.reading import read

if TYPE_CHECKING:
    from typing import BinaryIO

    from featstore.decoding.pixels.decode import Picture

Decoder = Callable[..., "Picture"]
"""Bytes of a file, `TransformSpec.decode_options` -> image of mode RGB, remark; raises DecodeError."""

OK, FAILED, TRANSIENT, CHANGED, MEMORY, DEFERRED = range(6)
"""How an image went: decoded; cannot be decoded; failed for a reason that may pass; is not the file it was. Between
worker and pool only: MEMORY, the memory limit was hit, which the pool tries once more before it calls it transient;
DEFERRED, the process beside the GPU leaves the image to the others."""

TASK = struct.Struct("<QQ32sI")
"""Item number, offset of its pixels in the batch memory, digest, length of the path that follows."""

RESULT = struct.Struct("<QBH")
"""Item number, status, length of the reason that follows (UTF-8), which is a remark where the status is OK."""

READY = 2**64 - 1
"""Item number of the result that says: imports are done, send work."""


def decoder_from(name: str) -> Decoder:
    """Import a decoder by "module:function"."""
    module, _, function = name.partition(":")
    decoder: Decoder = getattr(import_module(module), function)
    return decoder


def decode_file(
    path: bytes,
    digest: bytes,
    spec: TransformSpec,
    decoder: Decoder,
    bytes_per_image: int,
    alive: Callable[[], None] | None = None,
) -> tuple[int, str, bytes]:
    """Turn one image file into network input.

    Parameters
    ----------
    path : bytes
        Or an address of `featstore.sources.address`.
    digest : bytes
        SHA-256 that the file had when it was listed.
    spec : TransformSpec
    decoder : callable
    bytes_per_image : int
        A larger file is not read.
    alive : callable, optional
        See `featstore.sources.reading.read`.

    Returns
    -------
    status : int
        OK, FAILED, TRANSIENT, CHANGED or MEMORY.
    reason : str
        Where OK a remark, mostly "".
    pixels : bytes
        `crop * crop * 3` bytes where OK, else none.
    """
    try:
        data = read(path, bytes_per_image, alive)
        if hashlib.sha256(data).digest() != digest:
            return CHANGED, "the file changed since it was listed", b""
        picture = decoder(data, **spec.decode_options)
        return OK, picture.remark, spec.apply_to_image(picture.image).tobytes()
    except DecodeError as error:
        if isinstance(error.__cause__, MemoryError):
            return MEMORY, str(error), b""
        return FAILED, str(error), b""
    except MemoryError:
        return MEMORY, "not enough memory", b""
    except OSError as error:
        return TRANSIENT, f"cannot be read: {error.strerror or error}", b""


def main(settings: Mapping[str, Any]) -> None:
    """Serve tasks until the pipe ends. Called in a fresh process by `WorkerProcess`.

    Parameters
    ----------
    settings : mapping
        `spec`, `decoder`, `tasks`, `results`, `memory` (file descriptors), `seconds_per_image`, `bytes_per_image`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    spec, decoder = TransformSpec.from_json(settings["spec"]), decoder_from(settings["decoder"])
    limit = int(settings["bytes_per_image"])
    _limit_memory(limit)
    results = int(settings["results"])
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libtiff complains there about every bad file
    os.write(results, RESULT.pack(READY, OK, 0))

    def alive() -> None:  # bytes before an image are passed over: its time has not begun, and nothing is stuck
        signal.setitimer(signal.ITIMER_REAL, settings["seconds_per_image"])
        os.write(results, RESULT.pack(READY, OK, 0))

    with os.fdopen(int(settings["tasks"]), "rb") as tasks:
        try:
            while (task := next_task(tasks)) is not None:
                number, offset, digest, path = task
                signal.setitimer(signal.ITIMER_REAL, settings["seconds_per_image"])
                status, reason, pixels = decode_file(path, digest, spec, decoder, limit, alive)
                write_at(int(settings["memory"]), pixels, offset)
                signal.setitimer(signal.ITIMER_REAL, 0)
                text = reason.encode("utf-8", "backslashreplace")[:1000]
                os.write(results, RESULT.pack(number, status, len(text)) + text)
                if status == MEMORY:
                    return  # what is left over may be to blame: the pool goes on with a fresh process
        except BrokenPipeError:
            return  # the parent is gone


def next_task(tasks: BinaryIO) -> tuple[int, int, bytes, bytes] | None:
    """The next task; None where the pipe ended, even within a task."""
    head = tasks.read(TASK.size)
    if len(head) < TASK.size:
        return None
    number, offset, digest, length = TASK.unpack(head)
    path = tasks.read(length)
    return (number, offset, digest, path) if len(path) == length else None


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _limit_memory(extra: int) -> None:
    """Allow `extra` bytes of address space beyond what the process has now."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statm = Path("/proc/self/statm")
    if not statm.exists():  # elsewhere than on Linux RLIMIT_AS is not enforced
        return
    now = int(statm.read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = now + extra if hard == resource.RLIM_INFINITY else min(now + extra, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return  # a sandbox without it: the kernel then chooses by size
