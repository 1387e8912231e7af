"""Which images a report shows: the worst mistakes, the suspected wrong labels, the examples of leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifiers.formatting import percent, printable

_KINDS = {
    "identical": "the same bytes",
    "near": "one picture",
    "stem": "names of one source",
    "look_alike": "look alike, not known to be copies",
}


@dataclass(frozen=True)
class Card:
    """One image with what is to be said about it.

    Attributes
    ----------
    image : int
        Index into the report's images.
    name : str
        Its path.
    lines : tuple of (what, value)
        Such as ("true", "ants").
    note : str
        One more line, or nothing.
    """

    image: int
    name: str
    lines: tuple[tuple[str, str], ...]
    note: str = ""


def mistakes(full: Mapping[str, Any], most: int = 24) -> list[Card]:
    """The best run's most confident wrong answers, each image once.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    most : int
        How many at most.
    """
    found = full["runs"][full["best_run"]]["predictions"]
    if not found:
        return []
    keys = ("image", "true", "predicted", "confidence")
    wrong = [row for row in zip(*(found[key] for key in keys), strict=True) if row[1] != row[2]]
    classes = full["dataset"]["classes"]
    cards: dict[int, Card] = {}
    for image, true, predicted, confidence in sorted(wrong, key=lambda row: (-row[3], row[0])):
        if image not in cards and len(cards) < most:
            lines = (("true", printable(classes[true])), ("answer", printable(classes[predicted])))
            cards[image] = Card(image, image_name(full, image), lines, f"{percent(confidence)} % confident")
    return list(cards.values())


def suspects(full: Mapping[str, Any], most: int = 24) -> list[Card]:
    """The images whose label is most suspected to be wrong; all that are suspected, or else the likeliest few.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    most : int
        How many at most.
    """
    rows = (full["wrong_labels"] or {}).get("suspects", [])
    marked = _once(full, [row for row in rows if row.get("suspected")] or rows[:6])
    classes = full["dataset"]["classes"]
    return [
        Card(
            row["image"],
            image_name(full, row["image"]),
            (("label", printable(classes[row["label"]])), ("rather", printable(classes[row["suggested"]]))),
            f"{percent(row['share_suggested'])} % against {percent(row['share_label'])} %",
        )
        for row in marked[:most]
    ]


def _once(full: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Without the second of two copies with each other's label: one of the labels is wrong, and one card says it."""
    ids = full["images"]["ids"]
    pairs = {frozenset((e["a"], e["b"])) for e in (full["leaks"] or {}).get("examples", [])}
    if not pairs or not ids:
        return rows
    kept: list[Mapping[str, Any]] = []
    for row in rows:
        twins = (
            one
            for one in kept
            if (one["label"], one["suggested"]) == (row["suggested"], row["label"])
            and frozenset((ids[one["image"]], ids[row["image"]])) in pairs
        )
        if next(twins, None) is None:
            kept.append(row)
    return kept


@dataclass(frozen=True)
class LeakExample:
    """Two images of different parts that are too alike, as it is shown.

    Attributes
    ----------
    kind : str
        `identical`, `near`, `stem`, `look_alike`, or the two classes that one picture stands under.
    a, b : int or None
        Indexes into the report's images, None for an image that is not listed there.
    a_name, b_name : str
    likeness : str
        The cosine of their features.
    """

    kind: str
    a: int | None
    b: int | None
    a_name: str
    b_name: str
    likeness: str

    @property
    def spoken(self) -> str:
        """The kind, as it is shown."""
        return _KINDS.get(self.kind, self.kind)


def leak_examples(full: Mapping[str, Any], most: int = 8) -> list[LeakExample]:
    """Examples of leaks, the kinds in turn.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    most : int
        How many at most.
    """
    place = {name: i for i, name in enumerate(full["images"]["ids"])}
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    seen: set[frozenset[str]] = set()
    classes = full["dataset"]["classes"]
    conflicts = [
        {"kind": "one picture as {} and {}".format(*(printable(classes[row[f"{side}_label"]]) for side in "ab")), **row}
        for row in full["conflicts"]
    ]
    for example in [*conflicts, *(full["leaks"] or {}).get("examples", [])]:
        pair = frozenset((example["a"], example["b"]))
        if pair in seen:  # near-duplicates that share a name, or each of which judges in one fold
            continue
        seen.add(pair)
        kinds.setdefault("" if "a_label" in example else example["kind"], []).append(example)
    turns = [row for rank in range(most) for rows in kinds.values() if rank < len(rows) for row in [rows[rank]]]
    return [
        LeakExample(
            row["kind"],
            place.get(row["a"]),
            place.get(row["b"]),
            printable(row["a"]),
            printable(row["b"]),
            "" if row.get("cosine") is None else f"cosine of their features {row['cosine']:.3f}",
        )
        for row in turns[:most]
    ]


def image_name(full: Mapping[str, Any], image: int) -> str:
    """The path of an image of the report, or its number where the report lists none."""
    paths = full["images"]["paths"]
    return printable(paths[image]) if image < len(paths) else f"image {image}"
