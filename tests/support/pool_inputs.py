"""Small files for the decode pool, and what a run over them gives."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np

from featstore.decoding.pixels.decode import decode
from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from tests.support.pictures import encode, texture

SPEC = TransformSpec(resize=40, crop=32)
FAULTY = "tests.support.faulty_decoders:decode"


def write(folder: Path, count: int, endings: dict[int, bytes] | None = None) -> list[tuple[bytes, bytes]]:
    """Small pictures as files; `endings` are appended to some. Returns the items of a run."""
    items = []
    for number in range(count):
        data = encode(texture(number, 40 + number % 5, 36)) + (endings or {}).get(number, b"")
        path = folder / f"{number:04d}.jpg"
        path.write_bytes(data)
        items.append((os.fsencode(path), hashlib.sha256(data).digest()))
    return items


def reference(items: list[tuple[bytes, bytes]]) -> np.ndarray:
    return np.stack([SPEC.apply(decode(Path(os.fsdecode(path)).read_bytes())) for path, _ in items])


def gather(pool: DecodePool, items: list[tuple[bytes, bytes]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Everything that a run yields, copied, after a check of the order."""
    images, status, reasons = [], [], []
    for batch in pool.run(items):
        assert batch.start == len(reasons)
        assert len(batch.images) == len(batch.status) == len(batch.reasons)
        assert batch.images.dtype == np.uint8 and batch.status.dtype == np.uint8
        np.testing.assert_array_equal(batch.changed, batch.status == 3)
        images.append(batch.images.copy())
        status.append(batch.status)
        reasons.extend(batch.reasons)
    return np.concatenate(images), np.concatenate(status), reasons


def descriptors() -> int:
    """How many this process has open; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
