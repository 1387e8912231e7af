"""Opened data: which source they are, and the images in it with classes and parts."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH120

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.discovery.pictures import Pictures
from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.listing import Found, Skipped
from featstore.images.reading import Reading
from featstore.images.shards import ENDINGS as ARCHIVES, shards
from featstore.images.tree import Labelled, Tree
from featstore.images.walk import Remembered, list_tree
from featstore.layouts.labelling import label_tree
from featstore.sources.addresses import addresses
from featstore.sources.container import is_container
from featstore.sources.parquet_index import holds_images
from featstore.sources.remote import download_of, fetched, is_url
from featstore.system.reporting import StageProgress, argument, printable_path

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
        What is recorded of the source: `source`, the data as named; `address` and `sha256` of what was downloaded.
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
    place, about = os.fsencode(data), dict[str, str]()
    if is_url(os.fsdecode(place)):
        path = fetched(os.fsdecode(place), downloading)
        download = download_of(path)
        if download is not None:
            about = {"address": download.url, "sha256": download.sha256, "source": download.url}
        place = bytes(path)
    shown = about.get("address", printable_path(os.path.abspath(place)))
    if not os.path.exists(place):
        if not shards(place):
            raise ImagesNotFoundError(f"{shown} does not exist; {_EXPECTED}")
        return _of_archive(place, reading, shown, about)
    listed = os.path.abspath(place)  # a list that is a link names files beside the link
    place = os.path.realpath(place)
    if os.path.isdir(place) or is_container(place):
        about.setdefault("source", printable_path(place))
    if os.path.isdir(place):
        return _of_folder(place, reading, remembered, shown, about)
    name = place.lower()
    if name.endswith(PARQUET) and holds_images(place):
        from featstore.layouts.shards.parquet_images import parquet_images

        labelled = _labelled_only(parquet_images([place], reading), reading, shown)
        return _opened(labelled, os.path.dirname(place), shown, about)
    if name.endswith((*LISTS, *_TABLES, PARQUET)):
        from featstore.lists.image_list import read_list

        return _opened(read_list(listed, reading), os.path.realpath(os.path.dirname(listed)), shown, about)
    if is_container(place):
        return _of_archive(place, reading, shown, about)
    raise ImageSetError(f"{shown} is a file; {_EXPECTED}")


def _of_folder(
    place: bytes, reading: Reading, remembered: Callable[[bytes], Remembered], shown: str, about: dict[str, Any]
) -> Opened:
    """Images in a folder; or in archives or Parquet files in it, where these hold more than lies beside them."""
    tree = list_tree(place, remembered(place))
    packed, kind = _packed(place, tree) if reading.labels is None else ([], "")
    if not packed or reading.layout not in ("auto", kind):
        return _opened(label_tree(tree, reading), place, shown, about)
    if kind == "parquet":
        from featstore.layouts.shards.parquet_images import parquet_images

        opened = _opened(_labelled_only(parquet_images(packed, reading), reading, shown), place, shown, about)
    else:
        ending = next((end for end in ARCHIVES if all(path.lower().endswith(end) for path in packed)), b"")
        several = os.path.join(place, b"*" + ending) if ending and not shards(place) else place
        opened = _of_archive(packed[0] if len(packed) == 1 else several, reading, shown, about)
    if tree.paths:
        first, those = printable_path(min(tree.paths)), "Parquet files" if kind == "parquet" else "archives"
        opened.labelled.notes.append(
            f"{len(tree.paths):,} pictures beside the {those} left out (such as {first}); "
            f"{argument('layout', 'class-folders')} reads these instead"
        )
    return opened


def _packed(place: bytes, tree: Tree) -> tuple[list[bytes], str]:
    """Parquet files or archives of a folder that hold more bytes than the pictures beside them, and which they are."""
    beside = sum(tree.sizes)
    parquet = [path for path in sorted(tree.others) if path.lower().endswith(PARQUET)]
    parquet = [path for path in parquet if tree.others[path][0] > 0 and holds_images(os.path.join(place, path))]
    if parquet and sum(tree.others[path][0] for path in parquet) > beside:
        return [os.path.join(place, path) for path in parquet], "parquet"
    archives = [path for path in sorted(tree.others) if b"/" not in path and path.lower().endswith(ARCHIVES)]
    if archives and sum(tree.others[path][0] for path in archives) > beside:
        return [os.path.join(place, path) for path in archives], "webdataset"
    return [], ""


def _of_archive(place: bytes, reading: Reading, shown: str, about: dict[str, Any]) -> Opened:
    """Images in one archive, or in shards; samples of a WebDataset, or files in folders."""
    from featstore.images.archive_tree import archive_tree
    from featstore.layouts.shards.webdataset import label_webdataset

    tree = archive_tree(place)
    labelled = None if reading.labels is not None else label_webdataset(tree, reading)
    if labelled is None:
        labelled = label_tree(tree, reading)
        labelled.notes = [*tree.notes, *labelled.notes]
    return _opened(_labelled_only(labelled, reading, shown), tree.root, shown, about)


def _labelled_only(labelled: Labelled, reading: Reading, shown: str) -> Labelled:
    """Leave out images without a label, unless they are asked for.

    Raises
    ------
    ImageSetError
        Where none has one.
    """
    if reading.unlabelled or all(name is not None for _, name, _ in labelled.found.runs):
        return labelled
    found, left, start = Found(), list[Skipped](), 0
    for count, name, split in labelled.found.runs:
        for row in range(start, start + count):
            given = labelled.found
            if name is None:
                left.append(Skipped(given.paths[row], "without a label"))
            else:
                found.add(given.paths[row], given.sizes[row], given.mtimes[row], name, split)
        start += count
    if not found.paths:
        raise ImageSetError(
            f"none of the {len(left):,} images in {shown} has a label; say where the classes are with `labels` or "
            f"`label_column`, or `unlabelled=True` to keep features without labels"
        )
    note = f"{len(left):,} images without a label left out; `unlabelled=True` takes such images, too"
    return dataclasses.replace(labelled, found=found, skipped=[*labelled.skipped, *left], notes=[*labelled.notes, note])


def _opened(labelled: Labelled, root: bytes, shown: str, about: dict[str, Any] | None = None) -> Opened:
    return Opened(labelled, root if labelled.root is None else labelled.root, shown, {"source": shown, **(about or {})})
