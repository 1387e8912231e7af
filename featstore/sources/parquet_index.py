"""ParquetIndex: which cell of a Parquet file a name means."""

from __future__ import annotations

from typing import Any

from featstore.sources.address import ParquetCell
from featstore.sources.parquet_cells import damaged, leaf, open_parquet

_ROWS = 4096


class ParquetIndex:
    """Names of the cells of one column: row numbers, and beside them the paths that the file itself has, where unique.

    Parameters
    ----------
    path : bytes

    Raises
    ------
    OSError
        Where it is no Parquet file, or a damaged one.
    MemoryError
        The process may not take as much memory as the names need.
    """

    def __init__(self, path: bytes) -> None:
        self._path = path
        file = open_parquet(path)
        try:
            self.columns = binary_columns(file)
            self._groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            self._rows: dict[str, dict[bytes, int]] = {c: cell_names(file, c) for c in self.columns[:1]}
        except (OSError, MemoryError):
            raise
        except Exception as error:  # pyarrow may raise anything on hostile bytes
            raise damaged(error) from error
        finally:
            file.close()

    def address(self, name: bytes) -> bytes | None:
        """The address of a cell, by its row number ("17") or path; "column:17" where it is not the first column."""
        column, _, rest = name.rpartition(b":")
        chosen = column.decode("utf-8", "surrogateescape") if column else ""
        if chosen and chosen in self.columns:
            return self._cell(chosen, _number(rest))
        if not self.columns:
            return None
        row = self._rows[self.columns[0]].get(name, -1)
        return self._cell(self.columns[0], row if row >= 0 else _number(name))

    def names(self, column: str) -> dict[int, bytes]:
        """Row -> path in the file's own words; empty where rows go by their numbers."""
        return {row: name for name, row in self._rows.get(column, {}).items()}

    def _cell(self, column: str, row: int) -> bytes | None:
        if row < 0:
            return None
        for group, count in enumerate(self._groups):
            if row < count:
                return ParquetCell(group, row, column.encode(), self._path).address()
            row -= count
        return None


def holds_images(path: bytes) -> bool:
    """Whether a Parquet file has a column of bytes; where it is none or is damaged, whoever reads it will say so."""
    try:
        file = open_parquet(path)
    except OSError:
        return True
    try:
        return bool(binary_columns(file))
    finally:
        file.close()


def binary_columns(file: Any) -> list[str]:
    """Leaf columns of bytes that may be pictures ("image.bytes" before others), of an open Parquet file."""
    import pyarrow as pa

    found = []
    for field in file.schema_arrow:
        if pa.types.is_struct(field.type):
            inner = [f.name for f in field.type if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)]
            if "bytes" in inner:
                found.append(f"{field.name}.bytes")
        elif pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            found.append(field.name)
    return sorted(found, key=lambda name: not name.endswith(".bytes"))  # stable: in the file's order


def cell_names(file: Any, column: str) -> dict[bytes, int]:
    """Path in the file's own words -> row; empty where the column has none, or they are not unique or not usable."""
    import pyarrow as pa

    struct, _, _ = column.rpartition(".")
    if not struct or not any(
        f.name == "path" and (pa.types.is_string(f.type) or pa.types.is_large_string(f.type))
        for f in file.schema_arrow.field(struct).type
    ):
        return {}
    names: dict[bytes, int] = {}
    row = 0
    for batch in file.iter_batches(batch_size=_ROWS, columns=[f"{struct}.path"], use_threads=False):
        for text in leaf(batch.column(0)).to_pylist():
            name = (text or "").encode("utf-8", "surrogateescape")
            plain = name and name[:1] != b"/" and b"\\" not in name and b"\0" not in name
            if not plain or name in names or {b"", b".", b".."} & set(name.split(b"/")) or name.isdigit():
                return {}
            names[name] = row
            row += 1
    return names


def _number(name: bytes) -> int:
    return int(name) if name.isdigit() and len(name) < 16 and (name == b"0" or name[:1] != b"0") else -1
