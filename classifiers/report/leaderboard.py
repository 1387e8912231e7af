"""The table of a comparison, worded once for every rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifiers.formatting import NOTHING, count, interval, number, percent, printable, probability, seconds
from classifiers.report.report_data import only_class, shown_better
from classifiers.report.verdict import set_names
from classifiers.validation.significance import SIGNIFICANT


@dataclass(frozen=True)
class Column:
    """One figure that is shown of every run.

    Attributes
    ----------
    key : str
    title : str
        With its unit.
    meaning : str
        One line for readers who do not know it.
    """

    key: str
    title: str
    meaning: str


COLUMNS = (
    Column("accuracy", "accuracy %", "share of the judged images that are right"),
    Column(
        "interval", "95 % interval", "Wilson's interval: where the true accuracy lies, as far as so few images can tell"
    ),
    Column("top3", "top-3 %", "share of images whose true class is among the three most probable"),
    Column("balanced", "balanced %", "mean recall of the classes: a rare class counts as much as a frequent one"),
    Column("f1", "macro F1 %", "mean F1 score of the classes"),
    Column("log_loss", "log loss", "how much the probabilities cost; 0 is perfect, a confident mistake is dear"),
    Column("ece", "ECE %", "expected calibration error: how far stated confidence is from the share that is right"),
    Column("cv", "CV %", "accuracy in cross-validation of the training part, by which the head was chosen"),
    Column("tuning", "tuning", "seconds to search the hyper-parameters and fit the final classifier"),
    Column("converged", "converged", "whether the optimiser reached its own criterion"),
)


@dataclass(frozen=True)
class Row:
    """One run as it is shown.

    Attributes
    ----------
    run : int
        Index into the data's runs.
    name : str
    best, reference : bool
    cells : dict of str to str
        Column key -> text.
    """

    run: int
    name: str
    best: bool
    reference: bool
    cells: dict[str, str]


class Leaderboard:
    """All runs in order: the best, the others by cross-validated accuracy, the references last.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    """

    def __init__(self, full: Mapping[str, Any]) -> None:
        self._full = full
        runs = full["runs"]
        order = sorted(
            range(len(runs)),
            key=lambda i: (
                i != full["best_run"],
                runs[i]["reference"],
                -(runs[i]["cv_accuracy"] or runs[i]["accuracy"]),
            ),
        )
        few = len(full["dataset"]["classes"]) <= 3  # then the true class is always among three
        self.columns = tuple(c for c in COLUMNS if not (few and c.key == "top3"))
        self.rows = [self._row(i, runs[i]) for i in order]

    def _row(self, index: int, run: Mapping[str, Any]) -> Row:
        spent = [run[f"{part}_seconds"] for part in ("search", "fit")]
        cells = {
            "accuracy": percent(run["accuracy"]),
            "interval": interval(run["accuracy_ci"]),
            "top3": percent(run["top3_accuracy"]),
            "balanced": percent(run["balanced_accuracy"]),
            "f1": percent(run["macro_f1"]),
            "log_loss": number(run["log_loss"]),
            "ece": percent(run["ece"]),
            "cv": percent(run["cv_accuracy"]),
            "tuning": seconds(sum(spent) if None not in spent else None),
            "converged": "yes" if run["converged"] else "no",
        }
        return Row(index, printable(run["name"]), index == self._full["best_run"], run["reference"], cells)

    @property
    def order(self) -> str:
        """How the rows are sorted, in one sentence; empty where there is nothing to sort."""
        heads = [run for run in self._full["runs"] if not run["reference"]]
        if len(heads) < 2:
            return ""
        by = "accuracy in cross-validation (CV %)" if all(r["cv_accuracy"] is not None for r in heads) else "accuracy"
        return f"The chosen head stands first, the other heads follow by their {by}, references last."

    def sets(self) -> list[str]:
        """The names of the feature sets, in their order."""
        return set_names(self._full["features"])

    def matrix(self) -> list[tuple[str, list[int | None]]]:
        """Heads x feature sets: for each head its run on each set, None where there is none; no references."""
        heads: dict[str, list[int | None]] = {}
        for row in self.rows:
            run = self._full["runs"][row.run]
            if not run["reference"]:
                cells = heads.setdefault(printable(run["head"]), [None] * len(self._full["features"]))
                cells[run["feature"]] = row.run
        return list(heads.items())


def extent(full: Mapping[str, Any]) -> str:
    """How much data there is: `37 classes, 296 training images, 74 test images`.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    """
    dataset = full["dataset"]
    classes = count(len(dataset["classes"]), "class", "classes")
    if full["protocol"].get("name") == "cv":
        return f"{classes}, {count(dataset['test'], 'image')}, cross-validated"
    if full["protocol"].get("name") == "bundle":
        return f"{classes}, {count(dataset['test'], 'image')} judged"
    return f"{classes}, {count(dataset['train'], 'training image')}, {count(dataset['test'], 'test image')}"


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
    better = shown_better(c, runs)
    finding = "they differ" if shown else "no difference shown"
    if better is not None:
        alone = only_class(runs[better])  # a head that always gives this class would win
        more = "is better" if alone is None else f"gives {printable(alone)} more often"
        finding = f"{a if better == c['a_run'] else b} {more}"
    only = [NOTHING if c[key] is None else str(c[key]) for key in ("a_only", "b_only")]
    return PairRow(a, b, only[0], only[1], probability(c["p"]), probability(c["p_holm"]), finding, shown)
