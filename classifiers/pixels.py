"""Decoded images, kept for a whole training run, so that an epoch decodes nothing."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageSetError, StoreWriteError
from featstore.features import FeatureSet
from featstore.pool import DecodePool
from featstore.reporting import printable
from featstore.transform import TransformSpec

MEMORY_LIMIT = 2 << 30
"""Bytes of pixels that are kept in memory; more go to an unnamed file, which vanishes with the process."""


def decode_rows(
    features: FeatureSet,
    transform: TransformSpec,
    *,
    folder: Path,
    workers: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.uint8]:
    """Decode the images of some rows.

    Parameters
    ----------
    features : FeatureSet
        Whose `root`, `paths` and `digests` say which files.
    transform : TransformSpec
        Size and place of the square that is kept.
    folder : Path
        Where the file goes if it is too much for memory.
    workers : int, optional
        Decoding processes.
    memory_limit : int
        Bytes.

    Returns
    -------
    ndarray of shape (n, crop, crop, 3), uint8

    Raises
    ------
    ImageSetError
        An image that has features cannot be decoded now: it is gone, or its bytes have changed.
    StoreWriteError
        The disk is full.
    """
    side = transform.crop
    shape = (len(features), side, side, 3)
    pixels = _room(shape, folder, memory_limit)
    items = [
        (os.path.join(features.root, path), digest.tobytes())  # noqa: PTH118 (paths are bytes)
        for path, digest in zip(features.paths, features.digests, strict=True)
    ]
    problems: list[tuple[str, str]] = []
    with DecodePool(transform, workers=workers) as pool:
        for batch in pool.run(items):
            end = batch.start + len(batch.images)
            pixels[batch.start : end] = batch.images
            for offset in np.flatnonzero(batch.status):
                problems.append((printable(items[batch.start + int(offset)][0]), batch.reasons[int(offset)]))
            if progress is not None:
                progress(end, len(items))
    if problems:
        path, reason = problems[0]
        raise ImageSetError(
            f"{len(problems)} of {len(items)} images have features in the store but cannot be decoded now, such as "
            f"{path} ({reason}); run `featstore extract` again, then fine-tune"
        )
    return pixels


def _room(shape: tuple[int, ...], folder: Path, memory_limit: int) -> NDArray[np.uint8]:
    """An array in memory, or in a file without a name that is as long as the array."""
    count = math.prod(shape)
    if count <= memory_limit:
        return np.empty(shape, dtype=np.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, count)  # a full disk is noticed here, not by a crash in the middle
        except OSError as error:
            raise StoreWriteError(
                f"{folder} has no room for {count >> 20} MiB of decoded images ({error.strerror}); make room, or "
                f"fine-tune on fewer images or at a smaller input size"
            ) from error
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
