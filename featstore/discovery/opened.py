"""Opened data: which source they are, and the images in it with classes and parts."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH120

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.discovery.pictures import Pictures
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.archive_tree import archive_tree
from featstore.images.reading import Reading
from featstore.images.shards import shards
from featstore.images.tree import Labelled
from featstore.images.walk import Remembered, list_tree
from featstore.layouts.labelling import label_tree
from featstore.layouts.parquet_images import parquet_images
from featstore.layouts.webdataset import label_webdataset
from featstore.lists.image_list import read_list
from featstore.sources.addresses import addresses
from featstore.sources.container import is_container
from featstore.sources.parquet_index import holds_images
from featstore.sources.remote import download_of, fetched, is_url
from featstore.system.reporting import StageProgress, printable_path

PARQUET = b".parquet"
LISTS = (b".csv", b".tsv", b".txt", b".jsonl", b".json", b".ndjson", b".csv.gz", b".tsv.gz")
_TABLES = (b".xlsx", b".xls", b".ods", b".sqlite", b".db", b".pkl", b".pickle", b".npy", b".npz", b".mat", b".feather")
"""Tables that are no lists: whoever reads lists says what to do."""

_EXPECTED = (
    "expected a folder of images, a list (.csv, .tsv, .txt, .jsonl), an archive (.zip, .tar, .tar.gz), Parquet files, "
    "or the address of an archive"
)


@dataclass(frozen=True)
class Opened:
    """Data whose source and layout are known.

    Attributes
    ----------
    labelled : Labelled
    root : bytes
        What paths are relative to: a folder, an archive, or what holds pictures in memory.
    place : str
        The data as named, printable.
    about : dict
        What is recorded of the source: `address` and `sha256` of what was downloaded.
    """

    labelled: Labelled
    root: bytes
    place: str
    about: dict[str, Any] = field(default_factory=dict)

    def addresses(self, paths: Sequence[bytes], rows: NDArray[np.intp]) -> list[bytes]:
        """Where the bytes of some rows are."""
        return addresses([os.path.join(self.root, paths[row]) for row in rows.tolist()])


def open_data(
    data: str | bytes | os.PathLike[str] | Pictures,
    reading: Reading,
    remembered: Callable[[bytes], Remembered] = lambda root: Remembered(frozenset, {}),
    downloading: StageProgress | None = None,
) -> Opened:
    """Find out what data are, and read classes and parts.

    Parameters
    ----------
    data
        As `scan` takes them.
    reading : Reading
    remembered : callable
        Given the root: what an earlier scan found there.
    downloading : callable, optional
        Called with the bytes done and the bytes in all.

    Raises
    ------
    ImagesNotFoundError
        There is nothing at that place.
    ImageSetError
        It holds no usable image set.
    """
    if isinstance(data, Pictures):
        return Opened(data.labelled(), data.root, "the pictures given")
    place, about = os.fsencode(data), {}
    if is_url(os.fsdecode(place)):
        path = fetched(os.fsdecode(place), downloading)
        download = download_of(path)
        about = {"address": download.url, "sha256": download.sha256} if download is not None else {}
        place = bytes(path)
    shown = printable_path(os.path.abspath(place))
    if not os.path.exists(place):
        if not shards(place):
            raise ImagesNotFoundError(f"{shown} does not exist; {_EXPECTED}")
        return _of_archive(place, reading, shown, about)
    listed = os.path.abspath(place)  # a list that is a link names files beside the link
    place = os.path.realpath(place)
    if os.path.isdir(place):
        return _of_folder(place, reading, remembered, shown)
    name = place.lower()
    if name.endswith(PARQUET) and holds_images(place):
        return _opened(parquet_images([place], reading), os.path.dirname(place), shown, about)
    if name.endswith((*LISTS, *_TABLES, PARQUET)):
        return _opened(read_list(listed, reading), os.path.realpath(os.path.dirname(listed)), shown, about)
    if is_container(place):
        return _of_archive(place, reading, shown, about)
    raise ImageSetError(f"{shown} is a file; {_EXPECTED}")


def _of_folder(place: bytes, reading: Reading, remembered: Callable[[bytes], Remembered], shown: str) -> Opened:
    """Images in a folder; where it holds none, archives or Parquet files that do."""
    tree = list_tree(place, remembered(place))
    if not tree.paths:
        parquet = [os.path.join(place, path) for path in sorted(tree.others) if path.lower().endswith(PARQUET)]
        if parquet := [path for path in parquet if holds_images(path)]:
            return _opened(parquet_images(parquet, reading), place, shown)
        if shards(place):
            return _of_archive(place, reading, shown, {})
    return _opened(label_tree(tree, reading), place, shown)


def _of_archive(place: bytes, reading: Reading, shown: str, about: dict[str, Any]) -> Opened:
    """Images in one archive, or in shards; samples of a WebDataset, or files in folders."""
    tree = archive_tree(place)
    labelled = None if reading.labels is not None else label_webdataset(tree, reading)
    if labelled is None:
        labelled = label_tree(tree, reading)
        labelled.notes = [*tree.notes, *labelled.notes]
    return _opened(labelled, tree.root, shown, about)


def _opened(labelled: Labelled, root: bytes, shown: str, about: dict[str, Any] | None = None) -> Opened:
    return Opened(labelled, root if labelled.root is None else labelled.root, shown, about or {})
