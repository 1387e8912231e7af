"""Files by their paths, decoded in the order that reads fastest, each with its place in the list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from featstore.sources.address import reading_order
from featstore.sources.addresses import addresses


class DecodedFiles(NamedTuple):
    """Some of the files that were asked for.

    Attributes
    ----------
    places : ndarray of shape (m,), int64
        Their positions in the list.
    images : ndarray of shape (m, crop, crop, 3), uint8
        Black where a file could not be decoded.
    reasons : list of m (str or None)
        Why a file could not be decoded; None where it was.
    """

    places: NDArray[np.int64]
    images: NDArray[np.uint8]
    reasons: list[str | None]


GONE = "is not where it was"
"""Why a file that is not there any more cannot be decoded."""


def decoded_files(
    paths: Sequence[bytes],
    digests: NDArray[np.uint8],
    spec: TransformSpec,
    *,
    decoder: str = "featstore.decoding.pixels.decode:decode_picture",
    workers: int | None = None,
) -> Iterator[DecodedFiles]:
    """Decode files, archives' members and Parquet cells, several at a time.

    Parameters
    ----------
    paths : sequence of n bytes
        Absolute; they may lead into a container.
    digests : ndarray of shape (n, 32), uint8
        SHA-256 of the bytes that are expected; a file of other bytes is not decoded.
    spec : TransformSpec
    decoder, workers
        See `DecodePool`.

    Yields
    ------
    DecodedFiles
        Every file once. Files that are gone come first; where nothing else is left no process is started.

    Examples
    --------
    >>> nothing = np.zeros((1, 32), np.uint8)
    >>> (batch,) = decoded_files([b"/gone/1.jpg"], nothing, TransformSpec(resize=16, crop=16))
    >>> batch.places.tolist(), batch.reasons
    ([0], ['is not where it was'])
    """
    found = addresses(paths)
    gone = [place for place, path in enumerate(found) if path[:1] != b"\0" and not os.path.lexists(path)]
    if gone:
        black = np.broadcast_to(np.zeros((), np.uint8), (len(gone), spec.crop, spec.crop, 3))
        yield DecodedFiles(np.array(gone, dtype=np.int64), black, [GONE] * len(gone))
    absent = set(gone)
    order = [place for place in reading_order(found) or range(len(found)) if place not in absent]
    if not order:
        return
    with DecodePool(spec, batch_size=64, decoder=decoder, workers=workers) as pool:
        for batch in pool.run([(found[place], digests[place].tobytes()) for place in order]):
            places = np.array(order[batch.start : batch.start + len(batch.images)], dtype=np.int64)
            reasons = [batch.reasons[i] if status else None for i, status in enumerate(batch.status)]
            yield DecodedFiles(places, batch.images, reasons)
