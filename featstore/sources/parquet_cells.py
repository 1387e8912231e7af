"""Cells of Parquet files, read in the order in which they lie there: a place in each row group is kept open.

pyarrow is loaded here and only here on the way of a picture to its decoder. It is used without threads, and a few rows
are held at a time, so that it gets by within the memory that a decoding process has.
"""

# Paths are bytes here, which pathlib does not know.

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from featstore.sources.address import ParquetCell

ROWS = 16
"""Rows that are held at a time."""

GROUPS = 2
"""Row groups that a thread keeps open."""

BUFFER = 1 << 20
"""Bytes of the file that are read at a time."""


class _Cursor:
    """One column of one row group, read forwards."""

    def __init__(self, place: ParquetCell, status: os.stat_result) -> None:
        self.status = status
        self._file = open_parquet(place.path)
        self._place = place
        self._first = 0
        self._rows: Any = ()
        self._batches: Iterator[Any] = iter(())
        self._begin()

    def _begin(self) -> None:
        self._first, self._rows = 0, ()
        self._batches = self._file.iter_batches(
            batch_size=ROWS,
            row_groups=[self._place.group],
            columns=[self._place.column.decode()],
            use_threads=False,
        )

    def cell(self, row: int) -> bytes:
        if row < self._first:
            self._begin()
        while row >= self._first + len(self._rows):
            self._first += len(self._rows)
            batch = next(self._batches, None)
            if batch is None:
                raise OSError(0, "the Parquet file has no such row any more")
            self._rows = leaf(batch.column(0))
        value = self._rows[row - self._first].as_py()
        if not isinstance(value, bytes):
            raise OSError(0, "the cell of the Parquet file is empty")
        return value

    def close(self) -> None:
        self._batches, self._rows = iter(()), ()
        self._file.close()


class _Kept(threading.local):
    """A cursor has one place at a time, so each thread has its own."""

    def __init__(self) -> None:
        self.cursors: OrderedDict[tuple[bytes, int, bytes], _Cursor] = OrderedDict()


_kept = _Kept()


def cell(place: ParquetCell) -> bytes:
    """The bytes of one cell.

    Raises
    ------
    OSError
        The file cannot be read, the cell is empty, or there is none.
    MemoryError
        The process may not take as much memory as a few cells need.
    """
    key, cursors = (place.path, place.group, place.column), _kept.cursors
    try:
        status = os.stat(place.path)
        cursor = cursors.get(key)
        if cursor is not None and not _same(cursor.status, status):
            cursors.pop(key).close()
            cursor = None
        if cursor is None:
            while len(cursors) >= GROUPS:
                cursors.popitem(last=False)[1].close()
            cursor = cursors[key] = _Cursor(place, status)
        cursors.move_to_end(key)
        return cursor.cell(place.row)
    except MemoryError:  # pyarrow's own errors of memory are some, too
        cursors.pop(key, None)
        raise
    except OSError as error:
        cursors.pop(key, None)
        if error.strerror:
            raise
        raise damaged(error) from error
    except Exception as error:  # pyarrow may raise anything on hostile bytes
        cursors.pop(key, None)
        raise damaged(error) from error


def open_parquet(path: bytes) -> Any:
    """A `pyarrow.parquet.ParquetFile` that reads a little at a time, without threads of its own.

    Raises
    ------
    OSError
        Where it cannot be opened or is no Parquet file.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise OSError(0, f"Parquet files are read by pyarrow, which cannot be loaded ({_one_line(error)})") from error
    try:
        return pq.ParquetFile(os.fsdecode(path), buffer_size=BUFFER, pre_buffer=False, memory_map=False)
    except pa.ArrowInvalid as error:
        raise OSError(0, f"not a Parquet file ({_one_line(error)})") from error
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise OSError(0, f"the Parquet file cannot be read ({_one_line(error)})") from error


def damaged(error: Exception) -> OSError:
    """What to raise for an error of pyarrow's own that reading a file ended in."""
    return OSError(0, f"the Parquet file is damaged ({_one_line(error)})")


def leaf(array: Any) -> Any:
    """The one leaf of an array of structs that was read by its name ("image.bytes")."""
    import pyarrow as pa

    while pa.types.is_struct(array.type):
        array = array.flatten()[0]  # null where the struct is
    return array


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
