"""Lists as JSON and JSON lines: objects, pairs, or columns, as pandas and others write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from featstore.errors import ImageSetError
from featstore.images.part_names import part_of
from featstore.lists.column_names import is_known, path_rank
from featstore.lists.delimited import named_like_image

_EXPECTED = (
    'expected one object an image ({"path": "a.jpg", "label": "cat"}), a list of them, or one object of path and label '
    '({"a.jpg": "cat"})'
)


@dataclass
class JsonRows:
    """Rows of a JSON text.

    Attributes
    ----------
    columns : tuple of str or None
        None where rows are lists of cells.
    rows : list of list of str
    lines : list of int
        Line or position of each row, from 1.
    unit : str
        "line" or "entry".
    """

    columns: tuple[str, ...] | None
    rows: list[list[str]]
    lines: list[int]
    unit: str


def looks_like_json(text: str, name: bytes) -> bool:
    """Whether a text is JSON by its name, or by its first line.

    Examples
    --------
    >>> looks_like_json('{"path": 1}', b"a.txt"), looks_like_json("[a],b", b"a.csv"), looks_like_json("", b"a.json")
    (True, False, True)
    """
    if name.lower().endswith((b".json", b".jsonl", b".ndjson", b".json.gz", b".jsonl.gz")):
        return True
    start = text[:64].lstrip()[:1]
    if start not in ("{", "["):
        return False
    first = text.lstrip().split("\n", 1)[0].strip()
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
    return True


def read_json(text: str, place: str) -> JsonRows:
    """The rows of a JSON text, or of JSON objects line by line.

    Objects within objects become columns `outer.inner`; further ones, and lists, stay JSON.

    Parameters
    ----------
    text : str
    place : str
        The list, for messages.

    Raises
    ------
    ImageSetError
        Where it is no JSON, holds no rows, or names one path twice in an object.

    Examples
    --------
    >>> read_json('{"path": "a.jpg", "label": {"id": 3}}\\n{"path": "b.jpg"}\\n', "a.jsonl").rows
    [['a.jpg', '3'], ['b.jpg', '']]
    >>> read_json('{"path": {"0": "a.jpg"}, "label": {"0": "cat"}}', "a.json").rows
    [['a.jpg', 'cat']]
    """
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise ImageSetError(f"{place} is JSON nested too deeply; {_EXPECTED}") from error
    except ValueError as error:
        return _by_lines(text, place, error)
    return _of(document, place)


class _Doubled(dict[str, Any]):
    """An object that names a key twice, with all its pairs."""

    pairs: list[tuple[str, Any]]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = _Doubled(found)
    doubled.pairs = pairs
    return doubled


def _by_lines(text: str, place: str, whole: ValueError) -> JsonRows:
    objects, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            objects.append(json.loads(line, object_pairs_hook=_object))
        except (ValueError, RecursionError) as error:
            first = "" if objects else f" ({whole})"
            raise ImageSetError(f"{place}, line {number} is no JSON{first}; {_EXPECTED}") from error
        lines.append(number)
    if not objects:
        raise ImageSetError(f"{place} holds no row; {_EXPECTED}")
    if all(isinstance(one, list) for one in objects):
        return JsonRows(None, [[_cell(value) for value in one] for one in objects], lines, "line")
    return _of_objects(objects, lines, "line", place)


def _of(document: Any, place: str) -> JsonRows:
    if isinstance(document, list):
        if not document:
            raise ImageSetError(f"{place} is an empty list; {_EXPECTED}")
        places = list(range(1, len(document) + 1))
        if all(isinstance(one, list) for one in document):
            return JsonRows(None, [[_cell(value) for value in one] for one in document], places, "entry")
        if all(isinstance(one, str) for one in document):
            return JsonRows(None, [[one] for one in document], places, "entry")
        return _of_objects(document, places, "entry", place)
    if not isinstance(document, dict) or not document:
        raise ImageSetError(f"{place} holds no row; {_EXPECTED}")
    if {"images", "annotations", "categories"} <= document.keys():
        raise ImageSetError(
            f"{place} is in the form of COCO, whose annotations mark objects within images; expected one class an "
            "image: write a list of path and label"
        )
    pairs = document.pairs if isinstance(document, _Doubled) else list(document.items())
    keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    if {"columns", "data"} <= document.keys() and isinstance(document["columns"], list):  # pandas, orient="split"
        rows = [[_cell(value) for value in row] for row in document["data"]]
        return JsonRows(tuple(map(str, document["columns"])), rows, list(range(1, len(rows) + 1)), "entry")
    inner = [v for v in values if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(inner) == 1 and not any(isinstance(value, list) for value in values if value is not inner[0]):
        part = keys[values.index(inner[0])]  # beside it may be what describes the whole
        return _of([{"split": part, **one} for one in inner[0]] if part_of(part) else inner[0], place)
    if len(pairs) == 1 and isinstance(values[0], list) and values[0] and all(isinstance(v, list) for v in values[0]):
        return _of(values[0], place)
    if all(part_of(key) is not None for key in keys) and (rows := _of_parts(pairs)):
        width = max(map(len, rows))
        rows = [[*row[:-1], *[""] * (width - len(row)), row[-1]] for row in rows]
        columns = ("path", *(["label"] if width > 2 else []), *map(str, range(3, width)), "split")
        return JsonRows(columns, rows, list(range(1, len(rows) + 1)), "entry")
    if any(path_rank(key) is not None for key in keys) and all(isinstance(v, dict | list) for v in values):
        return _of_columns(document, place)
    if all(isinstance(value, list) and value and isinstance(value[0], dict) for value in values) and all(
        part_of(key) is not None for key in keys
    ):
        objects = [{"split": key, **one} for key, value in pairs for one in value if isinstance(one, dict)]
        return _of_objects(objects, list(range(1, len(objects) + 1)), "entry", place)
    if all(isinstance(value, list) and all(isinstance(one, str) for one in value) for value in values):
        rows = [[path, key] for key, value in pairs for path in value]  # class -> its images
        if any("." in path or "/" in path for path, _ in rows[:100]):
            return JsonRows(("path", "label"), rows, list(range(1, len(rows) + 1)), "entry")
    places = list(range(1, len(pairs) + 1))
    if all(isinstance(value, dict) for value in values):  # pandas, orient="index"
        column = next(name for name in ("path", "file", "image path") if not any(name in value for value in values))
        return _of_objects([{column: key, **value} for key, value in pairs], places, "entry", place)
    if any(is_known(key) for key in keys) and path_rank(keys[0]) is not None:  # a list of one image
        return _of_objects([document], [1], "entry", place)
    return JsonRows(("path", "label"), [[key, _cell(value)] for key, value in pairs], places, "entry")


def _of_parts(pairs: Iterable[tuple[str, Any]]) -> list[list[str]]:
    """Rows under the names of parts: paths, pairs of path and label, or an object of them; none where it is neither."""
    rows: list[list[str]] = []
    for part, value in pairs:
        inner = [[key, one] for key, one in value.items()] if isinstance(value, dict) else value
        if not isinstance(inner, list) or (
            isinstance(value, dict) and any(path_rank(key) is not None for key in value)
        ):
            return []
        for one in inner:
            cells = one if isinstance(one, list) else [one]
            if (
                isinstance(value, dict) and isinstance(cells[-1], list) and not named_like_image(cells[0])
            ):  # class -> its images
                cells_of = [[path, cells[0]] for path in cells[-1]]
            else:
                cells_of = [cells]
            for row in cells_of:
                if not row or not isinstance(row[0], str) or any(isinstance(cell, list | dict) for cell in row):
                    return []
                rows.append([*map(_cell, row), part])
    return rows if any("." in row[0] or "/" in row[0] for row in rows[:100]) else []


def _of_columns(document: dict[str, Any], place: str) -> JsonRows:
    """Columns as lists, or as objects of row name and cell (pandas' default)."""
    columns = tuple(document)
    if all(isinstance(value, dict) for value in document.values()):
        names = list(dict.fromkeys(key for value in document.values() for key in value))
        rows = [[_cell(document[column].get(name)) for column in columns] for name in names]
    else:
        lengths = {column: len(value) for column, value in document.items()}
        if len(set(lengths.values())) > 1 or not all(isinstance(value, list) for value in document.values()):
            shown = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
            raise ImageSetError(f"{place}: its columns are not of one length ({shown}); {_EXPECTED}")
        rows = [[_cell(value) for value in row] for row in zip(*document.values(), strict=True)]
    return JsonRows(columns, rows, list(range(1, len(rows) + 1)), "entry")


def _of_objects(objects: Iterable[Any], lines: list[int], unit: str, place: str) -> JsonRows:
    flat: list[dict[str, str]] = []
    for one, line in zip(objects, lines, strict=True):
        if not isinstance(one, dict):
            raise ImageSetError(f"{place}, {unit} {line} is {json.dumps(one)[:60]}, no object; {_EXPECTED}")
        if isinstance(one, _Doubled):
            key = next(key for number, (key, _) in enumerate(one.pairs) if key in [k for k, _ in one.pairs[:number]])
            raise ImageSetError(f"{place}, {unit} {line} holds {key!r} twice; keep one")
        cells: dict[str, str] = {}
        for key, value in one.items():
            if isinstance(value, dict):
                cells.update((f"{key}.{inner}", _cell(deep)) for inner, deep in value.items())
            else:
                cells[key] = _cell(value)
        flat.append(cells)
    columns = tuple(dict.fromkeys(key for cells in flat for key in cells))
    return JsonRows(columns, [[cells.get(name, "") for name in columns] for cells in flat], lines, unit)


def _cell(value: Any) -> str:
    """A value as a cell holds it: nothing for null, JSON for lists of several."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list | dict):
        return _cell(value[0])
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if isinstance(value, bool | float | int) else json.dumps(value, ensure_ascii=False)
