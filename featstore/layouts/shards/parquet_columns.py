"""Parquet columns: which of a file hold images, classes and parts, and what a cell of them says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.part_names import part_of
from featstore.images.reading import Reading
from featstore.sources.parquet_index import ParquetIndex
from featstore.system.reporting import argument, printable_path

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


class Columns:
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


def part_of_cell(value: Any, path: bytes) -> str:
    """The part that a cell says; "" where it says none."""
    if value is None or value == "":
        return ""
    part = part_of(str(value))
    if part is None:
        raise ImageSetError(
            f"{printable_path(path)} has the part {str(value)[:60]!r}; expected train, val, test or words for them; "
            f"{argument('split_column', 'NAME')} names another column"
        )
    return part


def class_of(value: Any, columns: Columns, path: bytes) -> bytes | None:
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
