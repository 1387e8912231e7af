"""Lists as Parquet, Arrow or Feather files without pictures in them; pyarrow reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from featstore.errors import ImageSetError, MissingExtraError
from featstore.images.tree import LIST_BYTES

if TYPE_CHECKING:
    import pyarrow as pa


def is_arrow(content: bytes) -> bool:
    """Whether some bytes are a Parquet or an Arrow file (Feather).

    Examples
    --------
    >>> is_arrow(b"PAR1..."), is_arrow(b"path,label")
    (True, False)
    """
    return content.startswith((b"PAR1", b"ARROW1"))


def read_arrow(content: bytes, place: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """The names of the columns and the rows.

    Fields of structures become columns `outer.inner`; integers whose class names the Hugging Face hub's header tells
    become these.

    Parameters
    ----------
    content : bytes
    place : str
        The list, for messages.

    Raises
    ------
    ImageSetError
        Where it is damaged or too large, or holds the pictures themselves.
    MissingExtraError
        Where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(f"{place} is a Parquet or Arrow file; to read it run: pip install pyarrow") from error
    try:
        if content.startswith(b"PAR1"):
            file = parquet.ParquetFile(pa.BufferReader(content))
            size = sum(file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups))
            _refuse_large(size, place)
            table = file.read()
        else:
            table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
        table = table.flatten()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ImageSetError(f"{place} cannot be read as a table: {error}; write it again, or as CSV") from error
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            raise ImageSetError(
                f"{place}: column {name!r} holds bytes, which are the pictures themselves; expected a list of paths: "
                "give the Parquet file itself as the data"
            )
    names = _class_names(table.schema.metadata or {})
    columns = [_cells(column, names.get(name)) for name, column in zip(table.column_names, table.columns, strict=True)]
    titles = tuple("" if name.startswith("__index_level_") else name for name in table.column_names)
    return titles, [list(row) for row in zip(*columns, strict=True)]


def _refuse_large(size: int, place: str) -> None:
    if size > LIST_BYTES * 4:
        raise ImageSetError(
            f"{place} unpacks to {size >> 20} MiB, expected a list of at most {LIST_BYTES * 4 >> 20} MiB; write the "
            "columns of paths and labels alone"
        )


def _cells(column: pa.ChunkedArray, names: list[str] | None) -> list[str]:
    return [_cell(value, names) for value in column.to_pylist()]


def _cell(value: Any, names: list[str] | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if names and 0 <= value < len(names) else str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list):
        return _cell(value[0], names) if len(value) == 1 else json.dumps([_cell(one, names) for one in value])
    return str(value)


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> class names, as `datasets` writes them into the header."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: list(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
