"""Small pictures for a report: single ones for the galleries, one sheet of many for the map, as data URIs."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
from featstore.sources.address import is_sequential, reading_order
from featstore.sources.addresses import addresses
from featstore.sources.reading import read
from featstore.system.machine import usable_cores

LARGEST_FILE = 200_000_000  # bytes; a larger file is not read for the sake of a thumbnail
PATIENCE = 30.0  # seconds for all of a report's thumbnails


@dataclass(frozen=True)
class Sheet:
    """Many thumbnails in one picture.

    Attributes
    ----------
    uri : str
        `data:image/webp;base64,...`
    side : int
        Pixels of the side of each (square) thumbnail.
    columns : int
    rows : int
    cells : dict of int to int
        Index of an image -> its cell, counted row by row.
    """

    uri: str
    side: int
    columns: int
    rows: int
    cells: dict[int, int]


class Thumbnails:
    """The thumbnails of a data set's images, made from the files when asked for.

    What cannot be read any more (moved, changed, a file that takes too long) has no thumbnail; the report is whole
    without.

    Parameters
    ----------
    root : str
        The data set's folder, as `os.fsdecode` gives it.
    paths : sequence of str
        Relative to it, as `os.fsdecode` gives them.
    seconds : float
        Time for all of them together; what would come later is left out.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from classifiers.report.figures.raster import save_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png(f"{folder}/ant.png", np.zeros((8, 8)))
    ...     list(Thumbnails(folder, ["ant.png", "gone.png"]).pictures([0, 1], side=4))
    [0]
    """

    def __init__(self, root: str, paths: Sequence[str], *, seconds: float = PATIENCE) -> None:
        self._root = root
        self._paths = paths
        self._deadline = time.monotonic() + seconds

    def pictures(self, indexes: Iterable[int], side: int, quality: int = 62) -> dict[int, str]:
        """Single thumbnails in their own shape, the longer side at most `side` pixels.

        Returns
        -------
        dict of int to str
            Index of an image -> data URI; without the images that cannot be read.
        """
        return {index: _uri(image, quality) for index, image in self._load(indexes, side).items()}

    def sheet(self, indexes: Iterable[int], side: int = 56, limit: int = 1_000_000) -> Sheet | None:
        """Square thumbnails, cut from the middle of the images, in one picture.

        Parameters
        ----------
        indexes : iterable of int
        side : int
            Pixels; made smaller where the sheet would be too large.
        limit : int
            Bytes of the picture at most.

        Returns
        -------
        Sheet or None
            None where not a single image can be read.
        """
        from PIL import Image, ImageOps

        loaded = self._load(indexes, side * 2)
        if not loaded:
            return None
        columns = max(round(len(loaded) ** 0.5), 1)
        rows = -(-len(loaded) // columns)
        while True:
            sheet = Image.new("RGB", (columns * side, rows * side))
            for cell, image in enumerate(loaded.values()):
                sheet.paste(ImageOps.fit(image, (side, side)), (cell % columns * side, cell // columns * side))
            for quality in (60, 45, 30):
                uri = _uri(sheet, quality)
                if len(uri) * 3 // 4 <= limit:
                    return Sheet(uri, side, columns, rows, {index: cell for cell, index in enumerate(loaded)})
            if side <= 16:
                return None
            side = side * 3 // 4

    def _load(self, indexes: Iterable[int], side: int) -> dict[int, Image.Image]:
        wanted = [index for index in dict.fromkeys(indexes) if 0 <= index < len(self._paths)]
        if not self._root:
            return {}
        root = os.fsencode(self._root)
        paths = [os.path.join(root, os.fsencode(self._paths[index])) for index in wanted]  # noqa: PTH118 - bytes
        found = addresses(paths)
        order = reading_order(found) or range(len(found))
        streams = any(is_sequential(address) for address in found)  # which have one reader
        # Pillow's codecs let go of the interpreter lock, so threads are enough.
        with ThreadPoolExecutor(max_workers=1 if streams else min(usable_cores(), 8)) as pool:
            images = dict(zip(order, pool.map(lambda place: self._open(found[place], side), order), strict=True))
        return {index: image for place, index in enumerate(wanted) if (image := images[place]) is not None}

    def _open(self, address: bytes, side: int) -> Image.Image | None:
        from PIL import Image

        from featstore.decoding.pixels.decode import decode_image

        if time.monotonic() > self._deadline:
            return None
        try:
            image = decode_image(read(address, LARGEST_FILE), side)
        except (OSError, ValueError):  # gone, unreadable, undecodable, or no path at all: no thumbnail
            return None
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return image


def _uri(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
