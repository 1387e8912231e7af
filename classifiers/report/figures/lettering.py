"""Letters on pictures: DejaVu Sans, which matplotlib ships, and a font of the system where DejaVu has no glyph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from classifiers.formatting import printable

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont


@lru_cache(maxsize=256)
def font(size: int, characters: frozenset[str] = frozenset(), bold: bool = False) -> FreeTypeFont:
    """A font that can draw some characters.

    Parameters
    ----------
    size : int
        Height of an em in pixels.
    characters : frozenset of str
        What it will draw. Where DejaVu Sans lacks one of them, the first installed font that has them all is taken (a
        Chinese class name on a machine with a Chinese font); where none has, DejaVu Sans draws boxes.
    bold : bool
        Semi-bold strokes for titles.

    Returns
    -------
    PIL.ImageFont.FreeTypeFont
    """
    import matplotlib
    from PIL import ImageFont

    shipped = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(_covering(frozenset(map(ord, characters)), str(shipped)), size)


def _covering(codes: frozenset[int], shipped: str) -> str:
    """The file of the first font with all the glyphs, the shipped one first and last."""
    if codes <= _glyphs(shipped):
        return shipped
    from matplotlib.font_manager import fontManager

    for entry in fontManager.ttflist:
        try:
            if codes <= _glyphs(entry.fname) and not entry.name.lower().startswith(("last resort", "lastresort")):
                return str(entry.fname)
        except (OSError, RuntimeError):  # an installed font that FreeType cannot open is no font for us
            continue
    return shipped


@lru_cache(maxsize=4096)
def _glyphs(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())


def fitted(text: str, width: float, size: int, bold: bool = False) -> tuple[str, FreeTypeFont]:
    """A text, cut with an ellipsis where it is wider than allowed, and its font.

    Parameters
    ----------
    text : str
        One line; what could reorder or break it is escaped.
    width : float
        Pixels that it may take.
    size : int
        Height of an em in pixels.
    bold : bool
        Semi-bold strokes.

    Returns
    -------
    text : str
    font : PIL.ImageFont.FreeTypeFont
    """
    text = printable(text)
    letters = font(size, frozenset(text), bold)
    if letters.getlength(text) <= width:
        return text, letters
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if letters.getlength(text[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…", letters
