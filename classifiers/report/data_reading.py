"""How a report's data were read: where labels and parts came from, and what was doubtful."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifiers.formatting import capital, printable, quoted

_SAID = (("layout", "layout"), ("labels_from", "labels"), ("parts_from", "parts"))


def data_reading(full: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where labels and parts came from, and what is to be known of the data, as far as the report says so.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.

    Returns
    -------
    list of (what, text)
        "layout", "labels", "parts", then a "note" each; printable, empty where the data say nothing.

    Examples
    --------
    >>> data_reading({"dataset": {"about": {"labels_from": "the folders", "notes": ["2 files skipped"]}}})
    [('labels', 'the folders'), ('note', '2 files skipped')]
    """
    about = full["dataset"].get("about")
    if not isinstance(about, Mapping):
        return []
    lines = [(what, about.get(key)) for key, what in _SAID]
    notes = about.get("notes")
    lines += [("note", note) for note in (notes if isinstance(notes, list | tuple) else ())]
    return [(what, printable(text)) for what, text in lines if isinstance(text, str) and text]


def reading_sentence(full: Mapping[str, Any]) -> str:
    """The same in one line, without notes; "" where the data say nothing.

    Examples
    --------
    >>> reading_sentence({"dataset": {"about": {"labels_from": "the folders", "parts_from": "test.txt"}}})
    'Labels: the folders; parts: test.txt.'
    """
    said = [f"{what}: {text}" for what, text in data_reading(full) if what != "note"]
    return capital("; ".join(said)) + "." if said else ""


def group_sentence(full: Mapping[str, Any]) -> str:
    """What the terminal says of the groups that the data or the user name; "" where there are none.

    Examples
    --------
    >>> group_sentence({"protocol": {"groups_of_the_data": 14}})
    'Groups: the 14 that the data name stay on one side of every fold.'
    """
    protocol = full["protocol"]
    if protocol.get("groups") not in (None, "auto"):
        number, shown = protocol.get("n_groups") or 0, quoted(str(protocol["groups"]))
        said = f"Groups: {number:,} by the expression {shown} stay on one side of every fold"
        aside = protocol.get("groups_set_aside")
        return f"{said}; the {aside:,} that the data name are set aside." if aside else f"{said}."
    if not protocol.get("groups_of_the_data"):
        return ""
    return f"Groups: the {protocol['groups_of_the_data']:,} that the data name stay on one side of every fold."


def doubts(about: Mapping[str, Any]) -> list[dict[str, str]]:
    """Warnings of what was doubtful when the data were read, also where somebody went on in spite of it.

    Parameters
    ----------
    about : mapping
        Of an image set; its `doubts` are mappings with a `text`.

    Examples
    --------
    >>> doubts({"doubts": [{"name": "one-class", "text": "All images are of one class.", "refuses": True}]})
    [{'kind': 'data', 'text': 'All images are of one class.'}]
    """
    found = about.get("doubts")
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list | tuple) else []
    return [{"kind": "data", "text": row["text"]} for row in rows if isinstance(row.get("text"), str) and row["text"]]
