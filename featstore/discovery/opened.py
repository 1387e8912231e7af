"""Opened data: which source they are, and the images in it with classes and parts."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH120

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.discovery.pictures import Pictures
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.archive_tree import archive_tree, shards
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.images.walk import Remembered
from featstore.lists.image_list import read_list
from featstore.sources.addresses import addresses
from featstore.sources.container import is_container
from featstore.sources.remote import fetched
from featstore.system.reporting import printable_path

LISTS = (b".csv", b".tsv", b".txt", b".jsonl", b".json")
_EXPECTED = (
    "expected a folder of images, a list (.csv, .tsv, .txt, .jsonl), an archive (.zip, .tar, .tar.gz), Parquet files, or "
    "the address of an archive"
)


@dataclass(frozen=True)
class Opened:
    """Data whose source and layout are known.

    Attributes
    ----------
    labelled : Labelled
    root : bytes
        What paths are relative to: a folder or an archive; "" for pictures in memory.
    place : str
        The data as named, printable.
    about : dict
        What is recorded of the source: `address` and `sha256` of what was downloaded.
    pictures : Pictures or None
    """

    labelled: Labelled
    root: bytes
    place: str
    about: dict[str, Any] = field(default_factory=dict)
    pictures: Pictures | None = None

    def addresses(self, paths: Sequence[bytes], rows: NDArray[np.intp]) -> list[bytes]:
        """Where the bytes of some rows are."""
        if self.pictures is not None:
            return [self.pictures.addresses[paths[row]] for row in rows.tolist()]
        return addresses([os.path.join(self.root, paths[row]) for row in rows.tolist()])


def open_data(
    data: str | bytes | os.PathLike[str] | Pictures,
    reading: Reading,
    remembered: Callable[[bytes], Remembered] = lambda root: Remembered(frozenset, {}),
) -> Opened:
    """Find out what data are, and read classes and parts.

    Parameters
    ----------
    data
        As `scan` takes them.
    reading : Reading
    remembered : callable
        Given the root: what an earlier scan found there.

    Raises
    ------
    ImagesNotFoundError
        There is nothing at that place.
    ImageSetError
        It holds no usable image set.
    """
    if isinstance(data, Pictures):
        return Opened(data.labelled(), b"", "the pictures given", pictures=data)
    place, about = os.fsencode(data), {}
    if re.match(rb"https?://", place, re.IGNORECASE):
        download = fetched(os.fsdecode(place))
        about = {"address": download.url, "sha256": download.sha256}
        place = os.fsencode(download.path)
    shown = printable_path(os.path.abspath(place))
    if not os.path.exists(place):
        parts = shards(place)
        if not parts:
            raise ImagesNotFoundError(f"{shown} does not exist; {_EXPECTED}")
        return _of_parts(parts, os.path.realpath(os.path.dirname(place) or b"."), place, reading, shown, about)
    place = os.path.realpath(place)
    if os.path.isdir(place):
        return _of_folder(place, reading, remembered, shown, about)
    name = place.lower()
    if name.endswith(b".parquet"):
        return _of_parquet([place], reading, shown, about)
    if is_container(place):
        return _of_tree(archive_tree(place), reading, shown, about)
    if os.path.isfile(place) and name.endswith(LISTS):
        labelled = read_list(place, reading)
        return Opened(labelled, labelled.root or os.path.dirname(place), shown, about)
    raise ImageSetError(f"{shown} is a file; {_EXPECTED}")
