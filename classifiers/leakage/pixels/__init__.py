"""Two small grey pictures laid on each other: read, made ready, aligned, compared tile by tile.

May import `validation`, and what that may import; `threads`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.leakage.pixels.pixel_comparison import compare_pixels as compare_pixels
    from classifiers.leakage.pixels.small_pictures import read_small_pictures as read_small_pictures

__getattr__, __dir__ = lazy_exports(__name__)
