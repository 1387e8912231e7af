"""Pictures and pages: charts as SVG, pixels as PNG, both as one HTML file that fetches nothing.

May import `validation`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.report.figures.picture_page import Figure as Figure, PicturePage as PicturePage, Section as Section
    from classifiers.report.figures.raster import (
        coloured as coloured,
        grid as grid,
        overlay as overlay,
        png as png,
        save_png as save_png,
    )
    from classifiers.report.figures.thumbnails import Thumbnails as Thumbnails

__getattr__, __dir__ = lazy_exports(__name__)
