"""Images in Parquet files, as the Hugging Face hub stores them: a column of image{bytes,path}, a label, class names."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH112, PTH118, PTH120

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from featstore.errors import ImageSetError, ImagesNotFoundError, UnknownNameError
from featstore.images import formats
from featstore.images.listing import Found, Skipped
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.shards.parquet_columns import Columns, class_of, part_of_cell
from featstore.layouts.shards.shard_names import file_part
from featstore.sources.index import keep
from featstore.sources.parquet_cells import leaf, open_parquet
from featstore.sources.parquet_index import ParquetIndex
from featstore.system.reporting import argument, printable_path

NAME = "parquet"
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
            columns = Columns(opened, index, reading, printable_path(file))
            count = _add(opened, index, columns, name, part, status.st_mtime_ns, found, skipped)
        except (ImageSetError, UnknownNameError, MemoryError):
            raise
        except Exception as error:  # pyarrow may raise anything on hostile bytes
            if isinstance(error, OSError) and error.strerror:
                raise
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


def _add(
    opened: Any,
    index: ParquetIndex,
    columns: Columns,
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
            part = file_part if columns.split is None else part_of_cell(split, path)
            found.add(path, size, mtime, class_of(label, columns, path), part)
    return before


def _require_images(opened: Any, columns: Columns, file: bytes) -> None:
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
