"""A box of a picture resized, bit for bit as Pillow does it; several times as fast where the C module was compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Resize = Callable[[NDArray[np.uint8], NDArray[np.uint8], tuple[int, int], tuple[int, int], str], None]
    """`_resample.resize`: (out, rgb, (height, width), (top, left), filter)."""

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

COPIED_WHOLE, STRIP = 1 << 21, 1 << 19
"""Pixels up to which a Pillow image is copied into one array, and those of the strips that a larger one is copied by:
they stay in the cache, so that 12 million pixels take 16 ms instead of 56 (Pillow: 34), and little memory."""

_LONGEST = 1 << 24  # of a side, in the compiled module

_TRIALS = (
    ((23, 37), (11, 19), (2, 3, 9, 18)),  # (height, width), new (width, height), box
    ((40, 20), (15, 30), (0, 0, 15, 30)),  # as tall as it may be, see _rows_first
    ((9, 14), (33, 40), (20, 25, 33, 40)),
    ((64, 33), (4, 70), (1, 33, 3, 60)),
    ((3, 90), (7, 3), (0, 1, 5, 3)),
)


def resized(
    picture: Image.Image | NDArray[np.uint8], size: tuple[int, int], box: tuple[int, int, int, int], filter: str
) -> NDArray[np.uint8]:
    """The part `box` of `picture.resize(size, filter)`.

    Parameters
    ----------
    picture : Pillow image of mode RGB, or ndarray of shape (h, w, 3), uint8
    size : (width, height)
        Of the whole picture when resized, pixels.
    box : (left, top, right, bottom)
        What is wanted of it; lies inside of it.
    filter : str
        One of `FILTERS`.

    Returns
    -------
    ndarray of shape (bottom - top, right - left, 3), uint8

    Raises
    ------
    ValueError
        Where the picture is of another kind or empty, the box is empty or not inside, or the filter is not known.
    MemoryError
    """
    left, top, right, bottom = box
    if filter not in FILTERS:
        raise ValueError(f"filter {filter!r} is not known; use one of {', '.join(FILTERS)}")
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise ValueError(f"box {box} (left, top, right, bottom) is empty or not inside a picture of {size}")
    width, height = _size_of(picture)
    if max(width, height, *size) > _LONGEST or not _rows_first((width, height), size):
        return _by_pillow(picture, size, box, filter)
    resize = _compiled(filter)
    if resize is None:
        return _by_pillow(picture, size, box, filter)
    out = np.empty((bottom - top, right - left, 3), np.uint8)
    if isinstance(picture, Image.Image) and width * height > COPIED_WHOLE:
        rows, step = np.empty((height, right - left, 3), np.uint8), max(1, STRIP // width)
        for y in range(0, height, step):
            strip = np.asarray(picture.crop((0, y, width, min(y + step, height))))
            resize(rows[y : y + step], strip, (len(strip), size[0]), (0, left), filter)
        resize(out, rows, (size[1], right - left), (top, 0), filter)  # a side that keeps its length keeps its bits
    else:
        resize(out, np.ascontiguousarray(picture), (size[1], size[0]), (top, left), filter)
    return out


def compiled(filter: str) -> bool:
    """Whether the compiled module is there, knows the filter and gives the bits of the installed Pillow."""
    return _compiled(filter) is not None


def as_image(picture: Image.Image | NDArray[np.uint8]) -> Image.Image:
    """A picture as a Pillow image; the same object where it is one."""
    return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)


def _size_of(picture: Image.Image | NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height); ValueError where it is no picture."""
    if isinstance(picture, Image.Image):
        if picture.mode != "RGB" or not all(picture.size):
            raise ValueError(f"a picture is of mode RGB and not empty, not {picture.mode} {picture.size}")
        return picture.size
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture is a uint8 array of shape (h, w, 3), not {picture.dtype} {picture.shape}")
    return picture.shape[1], picture.shape[0]


def _rows_first(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Whether every version of Pillow that was tried resizes rows first, rounds, then columns.

    Pillow 13 begins with the columns where the height shrinks by more pixels than twice what the width does (3000 sizes
    tried), 12.2 and 12.3 where it shrinks and is more than 100 times the width, 10.3 and 11.3 never.
    """
    shrinks = old[1] - new[1]
    return shrinks <= 0 or (shrinks <= 2 * (old[0] - new[0]) and old[1] <= 100 * old[0])


def _by_pillow(
    picture: Image.Image | NDArray[np.uint8], size: tuple[int, int], box: tuple[int, int, int, int], filter: str
) -> NDArray[np.uint8]:
    image, resample = as_image(picture), FILTERS[filter]
    left, top, right, bottom = box
    if left == 0 or image.width < image.height or not _rows_first(image.size, size):
        return np.asarray(image.resize(size, resample).crop(box))
    # as Pillow resizes the rows of a wide image, rounds, then its columns: done in these two steps, columns outside of
    # the box are spared
    rows = image.resize((size[0], image.height), resample).crop((left, 0, right, image.height))
    return np.asarray(rows.resize((right - left, size[1]), resample).crop((0, top, right - left, bottom)))


@cache
def _compiled(filter: str) -> Resize | None:
    """`_resample.resize`; None where it was not built, or where the installed Pillow gives other bits."""
    if filter == "nearest":
        return None
    try:
        from featstore.decoding.pixels._resample import resize
    except ImportError:
        return None
    return resize if _same_bits(resize, filter) else None


def _same_bits(resize: Resize, filter: str) -> bool:
    """Whether `resize` gives the bits of Pillow on a few small pictures (0.3 ms)."""
    for (height, width), size, box in _TRIALS:
        noise = np.arange(height * width * 3, dtype=np.uint32) * np.uint32(2654435761) >> np.uint32(13)
        picture = np.where(noise & 256, noise & 255, (noise >> 9 & 1) * 255).astype(np.uint8).reshape(height, width, 3)
        out = np.empty((box[3] - box[1], box[2] - box[0], 3), np.uint8)
        try:
            resize(out, picture, (size[1], size[0]), (box[1], box[0]), filter)
        except (TypeError, ValueError):  # built from another version
            return False
        if not np.array_equal(out, np.asarray(Image.fromarray(picture).resize(size, FILTERS[filter]).crop(box))):
            return False
    return True
