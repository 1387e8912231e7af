"""What a report shows of one run beyond its line in the table: classes, confusions, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from classifiers.formatting import count, number, percent, printable
from classifiers.report.confusion import DRAWN, LABELLED, Confusion
from classifiers.report.figures import plots

CLASSES = 300
"""More classes than this are not listed one by one; the worst are."""
IN_ORDER = 8
"""Up to so many classes the list keeps their order; a longer one begins with the worst."""
RECALL = (0.0, 1.0)


@dataclass(frozen=True)
class ClassRow:
    """One class as it is shown."""

    name: str
    support: int
    recall: str
    whisker: Markup
    precision: str
    f1: str
    taken: str


class RunPanel:
    """One run, worded and drawn.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    run : int
        Index into its runs.
    """

    def __init__(self, full: Mapping[str, Any], run: int) -> None:
        data = full["runs"][run]
        confusion = Confusion.of(data, full["dataset"]["classes"])
        self.run = run
        self.name: str = printable(data["name"])
        self.many: bool = len(confusion.classes) > LABELLED
        self.matrix: Markup | None = confusion.svg() if confusion.pairs and len(confusion.classes) <= DRAWN else None
        self.confused_pairs = confusion.rows()
        self.classes, self.classes_caption = _classes(data["per_class"], confusion)
        self.reliability = plots.reliability(data["reliability"]) if data["reliability"] else None
        self.calibration = _calibration(data)

    def __len__(self) -> int:
        """About how many bytes it takes in the page."""
        return len(self.matrix or "") + len(self.reliability or "") + 900 * len(self.classes)


def _classes(rows: list[dict[str, Any]], confusion: Confusion) -> tuple[list[ClassRow], str]:
    taken: dict[int, tuple[int, int]] = {}
    for (true, predicted), n in sorted(confusion.pairs.items()):
        if true != predicted and n > taken.get(true, (0, 0))[0]:
            taken[true] = (n, predicted)
    order = list(range(len(rows)))
    caption = count(len(rows), "class", "classes")
    if len(rows) > IN_ORDER:
        order.sort(key=lambda c: (rows[c]["recall"] is None, rows[c]["recall"], rows[c]["f1"] or 0.0))
        caption += ", the least recognised first"
    if len(rows) > CLASSES:
        order = order[:CLASSES]
        caption = f"the {CLASSES} least recognised of {len(rows):,} classes; all of them are in report.json"
    return [_class_row(rows[c], confusion, taken.get(c)) for c in order], caption


def _class_row(row: Mapping[str, Any], confusion: Confusion, taken: tuple[int, int] | None) -> ClassRow:
    known = row["recall"] is not None
    return ClassRow(
        printable(row["name"]),
        row["support"],
        percent(row["recall"]),
        plots.whisker(row["recall"], row["recall_ci"] or [row["recall"]] * 2, RECALL) if known else Markup(""),
        percent(row["precision"]),
        percent(row["f1"]),
        f"{confusion.classes[taken[1]]} ({taken[0]})" if taken else "",
    )


def _calibration(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("calibration error (ECE)", f"{percent(run['ece'])} %"),
        ("log loss", number(run["log_loss"])),
        ("Brier score", number(run["brier"])),
    ]
    done = run["calibration"]
    if done:
        how = {"none": "not needed", "temperature": "by a temperature", "isotonic": "by isotonic regression"}
        facts.append(("recalibrated", how.get(done["method"], done["method"])))
        if done.get("temperature") is not None and done["method"] == "temperature":
            facts.append(("temperature", number(done["temperature"], 2)))
        if done.get("log_loss_before") is not None:
            change = f"{number(done['log_loss_before'])} → {number(done['log_loss_after'])}"
            facts.append(("log loss out of fold", change))
    return facts
