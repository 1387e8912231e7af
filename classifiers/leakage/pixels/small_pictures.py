"""SmallPictures: images as small grey squares, read from their files, for comparing pixels."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featstore.decoding.decoded_files import GONE, decoded_files
from featstore.decoding.pixels.transform import TransformSpec
from featstore.features import FeatureSet

if TYPE_CHECKING:
    from featstore.decoding.pixels.decode import Picture

SIDE = 64
"""Pixels of a side: enough to tell two photographs of one place apart, and small enough to compare thousands."""

_IN_MEMORY = 100_000  # pictures held in memory (400 MB); more are kept in a file without a name


@dataclass(frozen=True, eq=False)
class SmallPictures:
    """The pictures of some rows.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        Ascending.
    grey : ndarray of shape (m, SIDE, SIDE), uint8
        The whole picture, squeezed to a square: a copy of it in another size gives the same square.
    readable : ndarray of shape (m,), bool
    reasons : tuple of (reason, count)
        Why pictures could not be read, the most frequent first.
    """

    rows: NDArray[np.int64]
    grey: NDArray[np.uint8]
    readable: NDArray[np.bool_]
    reasons: tuple[tuple[str, int], ...]

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where rows stand among the pictures."""
        return np.searchsorted(self.rows, rows)


def read_small_pictures(
    features: FeatureSet, rows: NDArray[np.int64], progress: Callable[[int], None] | None = None
) -> SmallPictures:
    """Read the pictures of some rows from where the data set's files are.

    Parameters
    ----------
    features : FeatureSet
    rows : ndarray of int64
    progress : callable, optional
        Told how many were read.

    Returns
    -------
    SmallPictures
        Files that are gone, changed or damaged are not readable.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featstore import FeatureStore
    >>> from featstore.extract import extract
    >>> from featstore.images.samples import write_textures
    >>> network = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32, "engine": "eager"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = extract(write_textures(Path(folder, "t"), per_class=2), Path(folder, "store"), workers=0, **network)
    ...     pictures = read_small_pictures(FeatureStore(Path(folder, "store")).read(), np.array([0, 5]))
    >>> pictures.grey.shape, pictures.readable.all()
    ((2, 64, 64), np.True_)
    """
    rows = np.unique(rows)
    paths = [os.path.join(features.root, features.paths[row]) for row in rows.tolist()]  # noqa: PTH118 - bytes
    shape = (len(rows), SIDE, SIDE)
    if len(rows) <= _IN_MEMORY:
        grey: NDArray[np.uint8] = np.zeros(shape, dtype=np.uint8)
    else:
        with tempfile.TemporaryFile() as file:  # the mapping keeps it, and nothing else does
            grey = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
    readable, reasons = np.zeros(len(rows), dtype=bool), Counter[str]()
    spec = TransformSpec(resize=SIDE, crop=SIDE, jpeg_scaling=True)
    done = 0
    for batch in decoded_files(paths, features.digests[rows], spec, decoder=f"{__name__}:decode_square"):
        good = np.array([reason is None for reason in batch.reasons])
        reasons.update("is gone" if reason == GONE else reason for reason in batch.reasons if reason is not None)
        grey[batch.places[good]] = batch.images[good, :, :, 0]
        readable[batch.places[good]] = True
        done += len(good)
        if progress is not None:
            progress(done)
    return SmallPictures(rows, grey, readable, tuple(reasons.most_common()))


def decode_square(data: bytes, **options: Any) -> Picture:
    """Decode the bytes of an image file to a grey square of the whole picture; a decoder of `DecodePool`.

    Parameters
    ----------
    data : bytes
    **options
        Of `featstore.decoding.pixels.decode.decode_picture`.

    Raises
    ------
    DecodeError
    """
    from PIL import Image

    from featstore.decoding.pixels.decode import Picture, decode_picture

    picture = decode_picture(data, **options)
    square = picture.image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return Picture(square.convert("RGB"), picture.remark)
