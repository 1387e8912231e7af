"""The compared pairs of a report, worded once for every rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifiers.formatting import NOTHING, printable, probability
from classifiers.validation.significance import SIGNIFICANT


@dataclass(frozen=True)
class PairRow:
    """Two runs compared on the same images, as it is shown.

    Attributes
    ----------
    a, b : str
        Names; where the best run is one of them, it is `a`.
    a_only, b_only : str
        Images that only this one has right.
    p, p_holm : str
        The test's p-value, as it is and after Holm's correction.
    finding : str
        In words.
    shown : bool
        Whether a difference is shown at 5 %.
    """

    a: str
    b: str
    a_only: str
    b_only: str
    p: str
    p_holm: str
    finding: str
    shown: bool


def pair_rows(full: Mapping[str, Any]) -> list[PairRow]:
    """All compared pairs, those with the best run first, then by p-value.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    """
    best = full["best_run"]
    ordered = sorted(full["comparisons"], key=lambda c: (best not in (c["a_run"], c["b_run"]), c["p_holm"], c["p"]))
    return [_row(_turned(c) if c["b_run"] == best else c, full["runs"]) for c in ordered]


def _turned(c: Mapping[str, Any]) -> dict[str, Any]:
    """The same comparison with its sides exchanged."""
    sides = {"a": "b", "b": "a"}
    return {**c, **{f"{new}{key}": c[f"{old}{key}"] for new, old in sides.items() for key in ("", "_run", "_only")}}


def _row(c: Mapping[str, Any], runs: list[dict[str, Any]]) -> PairRow:
    a, b = printable(c["a"]), printable(c["b"])
    shown = c["p_holm"] < SIGNIFICANT
    finding = "no difference shown"
    if shown and None not in (c["a_run"], c["b_run"]):
        ahead = runs[c["a_run"]]["accuracy"] > runs[c["b_run"]]["accuracy"]
        finding = f"{a if ahead else b} is better"
    elif shown:
        finding = "they differ"
    only = [NOTHING if c[key] is None else str(c[key]) for key in ("a_only", "b_only")]
    return PairRow(a, b, only[0], only[1], probability(c["p"]), probability(c["p_holm"]), finding, shown)
