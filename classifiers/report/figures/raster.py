"""Arrays -> picture grids, heat maps and PNG files.

Pictures are arrays of shape (h, w), (h, w, 1) or (h, w, 3): uint8, or floating point in [0, 1].
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifiers.report.figures.lettering import fitted

if TYPE_CHECKING:
    from PIL import Image

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Paper:
    """The colours that a grid is drawn in."""

    background: RGB
    ink: RGB
    muted: RGB


LIGHT = Paper((255, 255, 255), (29, 29, 31), (110, 110, 118))
DARK = Paper((19, 20, 23), (236, 236, 238), (150, 152, 160))


def pixels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Any picture as 8-bit RGB.

    Parameters
    ----------
    image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), uint8 or floating point in [0, 1]

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Floats are rounded to the nearest of 256 levels.

    Raises
    ------
    ValueError
        Another shape or type, or floats outside [0, 1].
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"a picture has shape (h, w), (h, w, 1) or (h, w, 3), this one {image.shape}")
    if np.issubdtype(image.dtype, np.floating):
        if not (np.min(image) >= 0 and np.max(image) <= 1):
            raise ValueError(f"floating-point pictures are in [0, 1], this one in [{np.min(image)}, {np.max(image)}]")
        image = np.rint(image * 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise ValueError(f"a picture is uint8 or floating point, this one {image.dtype}")
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def coloured(
    values: NDArray[Any], colours: str = "viridis", low: float | None = None, high: float | None = None
) -> NDArray[np.uint8]:
    """A map of numbers in the colours of a matplotlib colour map.

    Parameters
    ----------
    values : ndarray of shape (h, w)
        NaN and infinities come out in mid-grey.
    colours : str
        A matplotlib colour map: `viridis`, `inferno`, `gray`, `coolwarm` for signed values.
    low, high : float, optional
        The values at the two ends; by default the smallest and largest finite ones. A constant map is drawn in the
        colour of the lower end.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Examples
    --------
    >>> import numpy as np
    >>> coloured(np.array([[0.0, 1.0, np.nan]]), "gray").tolist()
    [[[0, 0, 0], [255, 255, 255], [128, 128, 128]]]
    """
    import matplotlib

    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    low = float(values[finite].min(initial=math.inf)) if low is None else low
    high = float(values[finite].max(initial=-math.inf)) if high is None else high
    span = high - low if high > low else 1.0
    share = np.clip(np.where(finite, (values - low) / span if finite.any() else 0.0, 0.0), 0.0, 1.0)
    rgb: NDArray[np.uint8] = np.rint(matplotlib.colormaps[colours](share)[..., :3] * 255).astype(np.uint8)
    rgb[~finite] = 128
    return rgb


def overlay(
    image: NDArray[Any], heat: NDArray[Any], *, strength: float = 0.6, colours: str = "inferno"
) -> NDArray[np.uint8]:
    """A heat map laid over a picture; where there is no heat the picture stays as it is.

    Parameters
    ----------
    image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), uint8 or floating point in [0, 1]
    heat : ndarray of shape (h', w'), floating point in [0, 1]
        Any size; it is enlarged smoothly to the picture's.
    strength : float
        How much the hottest place hides the picture, in [0, 1].
    colours : str
        A matplotlib colour map.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.full((4, 4, 3), 100, dtype=np.uint8)
    >>> bool((overlay(picture, np.zeros((2, 2))) == picture).all())
    True
    """
    from PIL import Image

    base = pixels(image)
    heat = np.asarray(heat, dtype=np.float32)
    if heat.ndim != 2 or not (np.min(heat) >= 0 and np.max(heat) <= 1):
        raise ValueError(f"a heat map has shape (h, w) and values in [0, 1], this one has shape {heat.shape}")
    size = (base.shape[1], base.shape[0])
    smooth = np.clip(np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC)), 0.0, 1.0)
    share = strength * smooth[:, :, None]
    mixed = base * (1 - share) + coloured(smooth, colours, 0.0, 1.0) * share
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def grid(
    images: Sequence[NDArray[Any]],
    *,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    title: str = "",
    cell: int | None = None,
    gap: int = 12,
    paper: Paper = LIGHT,
) -> NDArray[np.uint8]:
    """Pictures in rows and columns, each with its label below.

    Parameters
    ----------
    images : sequence of n arrays of shape (h, w), (h, w, 1) or (h, w, 3), uint8 or floating point in [0, 1]
        They may differ in size; each keeps its shape inside its cell.
    columns : int, optional
        By default about as many columns as rows.
    labels : sequence of n str, optional
        Lines after the first are drawn smaller and muted. What is too wide ends in an ellipsis.
    title : str
        Above the grid.
    cell : int, optional
        Side of a cell in pixels; by default the longest side of any picture, so that none is scaled. Smaller pictures
        are enlarged by whole numbers without smoothing (a feature map keeps its pixels), larger ones reduced with it.
    gap : int
        Pixels between cells and at the edge.
    paper : Paper
        LIGHT or DARK.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ValueError
        No picture, or another number of labels than of pictures.

    Examples
    --------
    >>> import numpy as np
    >>> grid([np.zeros((8, 8)), np.ones((8, 8))], columns=2, gap=2).shape
    (12, 22, 3)
    """
    from PIL import Image, ImageDraw

    tiles = [pixels(image) for image in images]
    if not tiles or (labels is not None and len(labels) != len(tiles)):
        raise ValueError(f"{len(tiles)} pictures and {len(labels or ())} labels; a grid needs one label a picture")
    columns = min(columns or math.ceil(math.sqrt(len(tiles))), len(tiles))
    cell = cell or max(max(tile.shape[:2]) for tile in tiles)
    lines = [label.split("\n") for label in labels] if labels is not None else [[] for _ in tiles]
    letters = min(max(cell // 12, 11), 22)
    smaller = max(letters * 5 // 6, 10)
    below = max(_height(len(text), letters, smaller) for text in lines)
    head = round(letters * 2.2) if title else 0
    size = (
        columns * (cell + gap) + gap,
        head + -(-len(tiles) // columns) * (cell + below + gap) + gap,
    )
    sheet = Image.new("RGB", size, paper.background)
    draw = ImageDraw.Draw(sheet)
    if title:
        text, face = fitted(title, size[0] - 2 * gap, round(letters * 1.15), bold=True)
        draw.text((gap, gap), text, paper.ink, face)
    for i, (tile, text_lines) in enumerate(zip(tiles, lines, strict=True)):
        left = gap + (i % columns) * (cell + gap)
        top = gap + head + (i // columns) * (cell + below + gap)
        picture = _scaled(tile, cell)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        baseline = top + cell + round(letters * 1.3)
        for line, text in enumerate(text_lines):
            text, face = fitted(text, cell, smaller if line else letters)
            draw.text((left + cell / 2, baseline), text, paper.muted if line else paper.ink, face, anchor="ms")
            baseline += round(smaller * 1.35)
    return np.asarray(sheet)


def _height(lines: int, letters: int, smaller: int) -> int:
    """Pixels below a cell for so many lines."""
    return round(letters * 1.3) + (lines - 1) * round(smaller * 1.35) + round(letters * 0.4) if lines else 0


def _scaled(tile: NDArray[np.uint8], cell: int) -> Image.Image:
    """The picture as large as the cell allows: whole-number enlargement, or a smooth reduction."""
    from PIL import Image

    picture = Image.fromarray(tile)
    longest = max(picture.size)
    if longest > cell:
        size = (max(round(picture.width * cell / longest), 1), max(round(picture.height * cell / longest), 1))
        return picture.resize(size, Image.Resampling.LANCZOS)
    times = cell // longest
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def png(image: NDArray[Any], text: Mapping[str, str] | None = None) -> bytes:
    """A picture as the bytes of a PNG file, lossless.

    Parameters
    ----------
    image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), uint8 or floating point in [0, 1]
    text : mapping of str to str, optional
        Written into the file as text chunks: how the picture was made.

    Returns
    -------
    bytes

    Examples
    --------
    >>> import numpy as np
    >>> png(np.zeros((2, 2)))[:4]
    b'\\x89PNG'
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(pixels(image)).save(buffer, "PNG", optimize=True, pnginfo=chunks)
    return buffer.getvalue()


def save_png(path: str | Path, image: NDArray[Any], text: Mapping[str, str] | None = None) -> None:
    """Write a picture as a PNG file, lossless, whole or not at all; what is at `path` is replaced.

    Parameters
    ----------
    path : str or Path
    image : ndarray of shape (h, w), (h, w, 1) or (h, w, 3), uint8 or floating point in [0, 1]
    text : mapping of str to str, optional
        Written into the file as text chunks.

    Raises
    ------
    featstore.errors.StoreWriteError
        The disk refused.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png(Path(folder, "grey.png"), np.full((2, 2), 0.5))
    ...     Path(folder, "grey.png").read_bytes() == png(np.full((2, 2), 0.5))
    True
    """
    from featstore.system import fsio

    fsio.replace(Path(path), png(image, text))
