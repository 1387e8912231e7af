"""Images in Parquet files, as the Hugging Face hub stores them: a column of image{bytes,path}, a label, class names."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH112, PTH116, PTH118, PTH119, PTH120, PTH208

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

from featstore.errors import ImageSetError, ImagesNotFoundError, UnknownNameError
from featstore.images import formats
from featstore.images.listing import Found, Skipped
from featstore.images.part_names import part_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.sources.index import keep
from featstore.sources.parquet_cells import leaf, open_parquet
from featstore.sources.parquet_index import ParquetIndex
from featstore.system.reporting import argument, printable_path

NAME = "parquet"

LABELS = (
    "label",
    "labels",
    "class",
    "class_name",
    "label_name",
    "category",
    "target",
    "fine_label",
    "y",
    "cls",
    "breed",
)
"""Columns that are taken for the class, in this order."""

SPLITS = ("split", "set", "subset", "partition", "fold_name")
"""Columns that are taken for the part."""

_ROWS = 64


def parquet_images(paths: Sequence[bytes], reading: Reading) -> Labelled:
    """List the images in Parquet files.

    Parameters
    ----------
    paths : sequence of bytes
        Files, or one folder of them (also below it).
    reading : Reading
        `path_column` names the column of images, `label_column` and `split_column` the others.

    Returns
    -------
    Labelled
        `root` is the folder that all files lie in. The path of an image is its file's and the path that the cell itself
        has, or its row number. Parts come from a column, else from the names of the files
        (`data/train-00000-of-00002.parquet`).

    Raises
    ------
    ImagesNotFoundError
        There is no such file.
    ImageSetError
        A file is no Parquet file or has no column of images; the message names the columns that it has.
    UnknownNameError
        A column that was named does not exist.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "test-00000-of-00001.parquet")
    ...     image = [{"bytes": b"GIF89a...", "path": None}]
    ...     pq.write_table(pa.table({"image": image, "label": ["cat"]}), file)
    ...     labelled = parquet_images([bytes(file)], Reading())
    >>> labelled.found.paths, labelled.found.runs
    ([b'test-00000-of-00001.parquet/0'], [(1, b'cat', 'test')])
    """
    files = _files(paths)
    root = os.path.commonpath([os.path.dirname(file) for file in files])
    found, notes, skipped, unused = Found(), list[str](), list[Skipped](), dict[str, None]()
    told: dict[str, None] = {}
    parts_told: dict[str, None] = {}
    for file in files:
        name = os.path.relpath(file, root)
        part = file_part(name)
        try:
            status = os.stat(file)
            opened = open_parquet(file)
            index = ParquetIndex(file)
        except OSError as error:
            raise ImageSetError(f"{printable_path(file)} cannot be read: {error.strerror or error}") from error
        try:
            keep(file, index, status)
            columns = _Columns(opened, index, reading, printable_path(file))
            count = _add(opened, index, columns, name, part, status.st_mtime_ns, found, skipped)
        except (OSError, ImageSetError, UnknownNameError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - pyarrow may raise anything on hostile bytes
            raise ImageSetError(f"{printable_path(file)} is damaged: {' '.join(str(error).split())[:200]}") from error
        finally:
            opened.close()
        if columns.label:
            told[f"column {columns.label!r}"] = None
        if columns.split or part:
            parts_told[f"column {columns.split!r}" if columns.split else "the names of files"] = None
        unused.update(dict.fromkeys(columns.unused))
        if not count:
            notes.append(f"{printable_path(name)} has no rows with an image")
    if not found.paths:
        raise ImageSetError(f"{printable_path(root)}: the Parquet files have no row with an image; expected some")
    if unused:
        notes.append(f"columns not used: {', '.join(unused)}")
    if skipped:
        notes.append(f"{len(skipped)} rows without an image left out (such as {printable_path(skipped[0].path)})")
    classes = len({name for _, name, _ in found.runs if name is not None})
    return Labelled(
        found,
        skipped,
        NAME,
        f"{classes} class{'es' * (classes != 1)} from {', '.join(told)}" if classes else "",
        found.parts_from(", ".join(parts_told)),
        notes,
        root=root,
    )


def file_part(name: bytes) -> str:
    """The part that a file's name or its folder's tells: data/train-00000-of-00002.parquet is train.

    Examples
    --------
    >>> file_part(b"data/validation-00000-of-00002.parquet"), file_part(b"pets.parquet")
    ('val', '')
    """
    *folders, last = name.split(b"/")
    stem = re.sub(rb"(?i)[.](parquet|tar|tgz|tar[.]gz)$", b"", last)
    stem = re.sub(rb"(?i)[-_.]?(shard|part)?[-_.]?[0-9]+([-_.]of[-_.][0-9]+)?(-[0-9a-f]{16})?$", b"", stem)
    for word in (stem, *reversed(folders)):
        if part := part_of(word):
            return part
    return ""


class _Columns:
    """Which columns of a file are images, labels and parts; the names of the classes."""

    def __init__(self, opened: Any, index: ParquetIndex, reading: Reading, place: str) -> None:
        schema = opened.schema_arrow
        names = list(schema.names)
        self.features = _hub_features(schema.metadata)
        if not index.columns:
            raise ImageSetError(
                f"{place} holds no images: it has the columns {', '.join(names)}, none of them of bytes; expected a "
                "column image{bytes,path} or one of bytes"
            )
        self.image = index.columns[0]
        if reading.path_column is not None:
            wanted = [c for c in index.columns if c in (reading.path_column, f"{reading.path_column}.bytes")]
            if not wanted:
                known = [column.removesuffix(".bytes") for column in index.columns]
                raise UnknownNameError("image column", reading.path_column, known, f"these hold bytes in {place}")
            self.image = wanted[0]
        self.first = self.image == index.columns[0]
        head = self.image.removesuffix(".bytes")
        free = [name for name in names if name != head]
        self.label = _chosen(reading.label_column, "label column", free, LABELS, place)
        hub = [n for n in free if isinstance(self.features.get(n), dict) and "names" in self.features[n]]
        if self.label is None and hub:
            self.label = hub[0]
        self.split = _chosen(reading.split_column, "split column", free, SPLITS, place)
        self.group = _chosen(reading.group_column, "group column", free, (), place)
        self.unused = [name for name in free if name not in (self.label, self.split, self.group)]
        self.names: list[str] = []
        if self.label is not None:
            feature = self.features.get(self.label)
            inner = feature.get("names") if isinstance(feature, dict) else None
            if isinstance(inner, list) and all(isinstance(name, str) for name in inner):
                self.names = inner


def _chosen(wanted: str | None, kind: str, names: list[str], usual: Sequence[str], place: str) -> str | None:
    if wanted is not None:
        if wanted not in names:
            raise UnknownNameError(kind, wanted, names, f"these are the columns of {place}")
        return wanted
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


def _hub_features(metadata: Any) -> dict[str, Any]:
    """What the hub says of the columns; empty where it says nothing that can be read."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _add(
    opened: Any,
    index: ParquetIndex,
    columns: _Columns,
    file: bytes,
    file_part: str,
    mtime: int,
    found: Found,
    skipped: list[Skipped],
) -> int:
    """Add the rows of one file; returns how many."""
    import pyarrow.compute as pc

    names = index.names(columns.image) if columns.first else {}
    _require_images(opened, columns, file)
    wanted = [name for name in (columns.image, columns.label, columns.split) if name]
    row = before = 0
    for batch in opened.iter_batches(batch_size=_ROWS, columns=wanted, use_threads=False):
        head = columns.image.removesuffix(".bytes")
        sizes = pc.binary_length(leaf(batch.column(batch.schema.get_field_index(head)))).to_pylist()
        labels = _column(batch, columns.label)
        splits = _column(batch, columns.split)
        for size, label, split in zip(sizes, labels, splits, strict=True):
            cell = names.get(row) or (b"%d" % row if columns.first else b"%s:%d" % (columns.image.encode(), row))
            row += 1
            path = file + b"/" + cell
            if size is None:
                skipped.append(Skipped(path, "a row without an image"))
                continue
            before += 1
            part = file_part if columns.split is None else _part(split, path)
            found.add(path, size, mtime, _class(label, columns, path), part)
    return before


def _require_images(opened: Any, columns: _Columns, file: bytes) -> None:
    """See that some of the first cells look like images: bytes may be anything."""
    import pyarrow.compute as pc

    batch = next(opened.iter_batches(batch_size=_ROWS, columns=[columns.image], use_threads=False), None)
    cells = [] if batch is None else pc.binary_slice(leaf(batch.column(0)), 0, formats.HEAD_BYTES).to_pylist()
    heads = [cell for cell in cells if cell is not None]
    if heads and not any(map(formats.sniff, heads)):
        raise ImageSetError(
            f"{printable_path(file)} holds no images: the bytes in its column {columns.image!r} begin with "
            f"{formats.describe(heads[0])}; expected {', '.join(formats.FORMATS)}; "
            f"{argument('path_column', 'NAME')} names another column"
        )


def _column(batch: Any, name: str | None) -> list[Any]:
    return [None] * len(batch) if name is None else batch.column(batch.schema.get_field_index(name)).to_pylist()


def _part(value: Any, path: bytes) -> str:
    if value is None or value == "":
        return ""
    part = part_of(str(value))
    if part is None:
        raise ImageSetError(
            f"{printable_path(path)} has the part {str(value)[:60]!r}; expected train, val, test or words for them; "
            f"{argument('split_column', 'NAME')} names another column"
        )
    return part


def _class(value: Any, columns: _Columns, path: bytes) -> bytes | None:
    """The class of a row as bytes; None where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or value == "" or (columns.names and value == -1) or value != value:
        return None
    if isinstance(value, bool | int) and columns.names:
        if not 0 <= value < len(columns.names):
            raise ImageSetError(
                f"{printable_path(path)} has the label {value}, and the file names {len(columns.names)} classes; "
                f"{argument('label_column', 'NAME')} names another column"
            )
        value = columns.names[value]
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str | int | float):
        raise ImageSetError(
            f"the column {columns.label!r} holds {str(value)[:60]!r} for {printable_path(path)}; expected one name or "
            f"number an image: {argument('label_column', 'NAME')} names another column"
        )
    return str(value).encode("utf-8", "surrogateescape")


def _files(paths: Sequence[bytes]) -> list[bytes]:
    """Absolute paths of the Parquet files that are meant."""
    files: list[bytes] = []
    for path in map(os.path.abspath, paths):
        if not os.path.isdir(path):
            if not os.path.exists(path):  # noqa: PTH110 - bytes
                raise ImagesNotFoundError(f"{printable_path(path)} does not exist; expected a Parquet file of images")
            files.append(os.path.realpath(path))
            continue
        below = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(os.path.realpath(path))
            for name in sorted(names)
            if name.lower().endswith(b".parquet") and name[:1] != b"."
        ]
        if not below:
            expected = ", ".join(formats.FORMATS[:3])
            raise ImageSetError(
                f"{printable_path(path)} holds no .parquet file; expected some that hold {expected} images"
            )
        files += below
    if not files:
        raise ImageSetError("no Parquet file was named; expected at least one")
    return sorted(dict.fromkeys(files))
