"""Shards of tar and Parquet files for tests of their layouts."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featstore.images.archive_tree import archive_tree
from featstore.images.listing import Listing
from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
from featstore.layouts.shards.parquet_images import parquet_images
from tests.support.archives import pictures, tar_of

JPEG = next(iter(pictures(1).values()))


def tree_of(folder: Path, *shards: tuple[str, dict[str, bytes]]) -> Tree:
    """A folder of tar files."""
    for name, files in shards:
        tar_of(files, folder / name)
    return archive_tree(os.fsencode(folder))


def samples(ending: str, values: list[object], start: int = 0) -> dict[str, bytes]:
    """Pictures, each with a file beside it that holds a value; none for None."""
    files = {}
    for number, value in enumerate(values, start):
        files[f"{number:04d}.jpg"] = JPEG
        if value is not None:
            files[f"{number:04d}{ending}"] = value if isinstance(value, bytes) else json.dumps(value).encode()
    return files


def rows(labelled: Labelled) -> list[tuple[str, str | None, str]]:
    """Path, class and part of each image."""
    listing = Listing.of(labelled.found, labelled.skipped, b"/d")
    return [
        (path.decode(), listing.classes[label] if label >= 0 else None, str(split))
        for path, label, split in zip(listing.paths, listing.labels, listing.splits, strict=True)
    ]


def read(*paths: Path, **said: str) -> Labelled:
    """What `parquet_images` makes of files."""
    return parquet_images([os.fsencode(path) for path in paths], Reading(**said))


def table(path: Path, /, **columns: object) -> Path:
    """Write a Parquet file."""
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path
