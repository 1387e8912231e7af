"""Decoders that misbehave, for the pool's worker processes: what follows `#` at the end of a file decides how."""

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

from featstore.decoding.pixels.decode import Picture, decode_picture
from featstore.errors import DecodeError


def decode(data: bytes, **options: object) -> Picture:
    deed, _, argument = data.rpartition(b"#")[2][:200].decode("latin-1").partition("=")
    if deed == "segfault":
        ctypes.string_at(0)
    elif deed == "spin":
        while True:
            pass
    elif deed == "spin-in-c":
        re.match(r"(a+)+$", "a" * 60 + "b")  # does not come back, and never lets a Python signal handler run
    elif deed == "eat":
        hoard = []
        while True:
            hoard.append(bytearray(32 << 20))
    elif deed == "exit":
        os._exit(3)
    elif deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif deed == "raise":
        raise RuntimeError("boom")
    elif deed == "crash-once" and not Path(argument).exists():
        Path(argument).touch()
        ctypes.string_at(0)
    elif deed == "eat-once" and not Path(argument).exists():
        Path(argument).touch()
        raise MemoryError
    elif deed == "note":
        with Path(argument).open("ab") as notes:
            notes.write(b".")
    return decode_picture(data, **options)


def imports(data: bytes, **options: object) -> Picture:
    raise DecodeError(
        ",".join(name for name in ("torch", "torchvision", "h5py", "scipy") if name in sys.modules) or "none"
    )
