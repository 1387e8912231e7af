"""The data of a report: what must be in it, and what a rendering may count on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from classifiers.validation.significance import SIGNIFICANT
from featstore.errors import ReportError

FORMAT = 1

_TOP: dict[str, type] = {"dataset": dict, "runs": list, "comparisons": list, "best": str, "environment": dict}
_DATASET: dict[str, type] = {"name": str, "classes": list, "train": int, "test": int}
_RUN: dict[str, type] = {
    "head": str,
    "backbone": str,
    "node": str,
    "weights": str,
    "feature_key": str,
    "params": dict,
    "selected_on": str,
    "accuracy": float,
    "accuracy_ci": list,
    "confusion": list,
    "converged": bool,
}
_SCORES = ("top3_accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
_SECONDS = ("search_seconds", "fit_seconds", "predict_seconds")
_PAIR: dict[str, type] = {"a": str, "b": str, "test": str, "p": float, "p_holm": float}

_OPTIONAL: dict[str, Any] = {
    "protocol": {},
    "verdict": [],
    "warnings": [],
    "omitted": [],
    "leaks": None,
    "conflicts": [],
    "shift": None,
    "wrong_labels": None,
    "learning_curve": None,
    "layer_curve": None,
    "map": None,
    "advice": None,
    "duel": None,
    "store": None,
}
_RUN_OPTIONAL: dict[str, Any] = {
    "pool": "",
    "precision": "",
    "dim": None,
    "reference": False,
    "summary": "",
    "brier": None,
    "reliability": [],
    "per_class": [],
    "cv_accuracy": None,
    "cv_accuracy_ci": None,
    "cv_log_loss": None,
    "cv_results": [],
    "calibration": None,
    "certificate": {},
    "notes": [],
    "beats_majority": None,
    "predictions": None,
    **{f"{score}_ci": None for score in (*_SCORES, "brier")},
}


def check(data: object, where: str = "the report") -> dict[str, Any]:
    """The same data, once its stable part is known to be whole.

    Parameters
    ----------
    data : object
        What was read or computed.
    where : str
        What to call it in an error: a path.

    Returns
    -------
    dict

    Raises
    ------
    ReportError
        No report, one of a newer format, or one in which a key of the contract is missing or of another type.
    """
    if not isinstance(data, dict) or not _is(data.get("format"), int) or "runs" not in data:
        raise ReportError(f"{where} is no report: expected a JSON object with the keys format and runs")
    if data["format"] != FORMAT:
        raise ReportError(
            f"{where} has report format {data['format']}, this version of featstore reads format {FORMAT}; "
            f"{'upgrade featstore' if data['format'] > FORMAT else 'run featstore compare again'}"
        )
    for key, kind in _TOP.items():
        _require(data, key, kind, where)
    for key, kind in _DATASET.items():
        _require(data["dataset"], key, kind, f"{where}, dataset")
    classes = len(data["dataset"]["classes"])
    if not data["runs"]:
        raise ReportError(f"{where} has no runs; expected at least one head that was judged")
    for i, run in enumerate(data["runs"]):
        _check_run(run, classes, f"{where}, runs[{i}]")
    heads = [run["head"] for run in data["runs"]]
    if data["best"] not in heads:
        raise ReportError(f"{where} calls {data['best']!r} the best head, but its runs are {', '.join(heads)}")
    for i, pair in enumerate(data["comparisons"]):
        for key, kind in _PAIR.items():
            _require(pair, key, kind, f"{where}, comparisons[{i}]")
    return data


def _check_run(run: Any, classes: int, where: str) -> None:
    for key, kind in _RUN.items():
        _require(run, key, kind, where)
    for key in (*_SCORES, *_SECONDS):
        if run.get(key) is not None:
            _require(run, key, float, where)
    bounds = run["accuracy_ci"]
    if len(bounds) != 2 or not all(_is(b, float) for b in bounds) or not 0 <= bounds[0] <= bounds[1] <= 1:
        raise ReportError(f"{where} has accuracy_ci {bounds}, expected a low and a high share between 0 and 1")
    if not 0 <= run["accuracy"] <= 1:
        raise ReportError(f"{where} has accuracy {run['accuracy']}, expected a share between 0 and 1")
    rows = run["confusion"]
    if rows and (len(rows) != classes or any(not isinstance(row, list) or len(row) != classes for row in rows)):
        raise ReportError(f"{where} has a confusion matrix that is not {classes} x {classes}, one row a class")


def _require(found: Any, key: str, kind: type, where: str) -> None:
    if not isinstance(found, dict) or key not in found:
        raise ReportError(f"{where} lacks {key!r}; the file was cut or changed by hand, run featstore compare again")
    if not _is(found[key], kind):
        raise ReportError(f"{where} has {key!r} of type {type(found[key]).__name__}, expected {kind.__name__}")


def _is(value: Any, kind: type) -> bool:
    """Whether a JSON value is of a kind: an integer is a fine float, a boolean is no number."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def filled(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with a default for every key beyond the stable contract, so that renderings need not ask.

    Parameters
    ----------
    data : mapping
        As `check` lets it pass. It is not changed.

    Returns
    -------
    dict
        `best_run` is an index, every run has a `name` and `feature` (index into `features`), every comparison `a_run`
        and `b_run` (None where no run has that name).
    """
    full = {**_OPTIONAL, **data}
    full["dataset"] = {"root": "", "counts": None, "images": None, **data["dataset"]}
    full["features"] = data.get("features") or _features(data["runs"])
    keys = [feature["feature_key"] for feature in full["features"]]
    full["runs"] = [_filled_run(run, keys, full) for run in data["runs"]]
    names = [run["name"] for run in full["runs"]]
    full["comparisons"] = [
        {"a_only": None, "b_only": None, "n": None, **pair, **{
            f"{side}_run": pair.get(f"{side}_run", names.index(pair[side]) if pair[side] in names else None)
            for side in ("a", "b")
        }}
        for pair in data["comparisons"]
    ]  # fmt: skip
    if "best_run" not in data:
        heads = [run["head"] for run in full["runs"]]
        full["best_run"] = heads.index(data["best"])
    full["images"] = {"ids": [], "paths": [], "split": [], "true": [], **(data.get("images") or {})}
    return full


def _features(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The feature sets that the runs name, in the order of their first run."""
    first = {run["feature_key"]: run for run in reversed(runs)}
    ordered = dict.fromkeys(run["feature_key"] for run in runs)
    keys = ("backbone", "node", "weights", "feature_key")
    return [{**{key: first[name][key] for key in keys}, "pool": first[name].get("pool", "")} for name in ordered]


def _filled_run(run: Mapping[str, Any], keys: list[str], full: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_RUN_OPTIONAL,
        **dict.fromkeys((*_SCORES, *_SECONDS)),
        "name": run["head"],
        "feature": keys.index(run["feature_key"]) if run["feature_key"] in keys else 0,
        "n_train": full["dataset"]["train"],
        "n_test": full["dataset"]["test"],
        **run,
    }


def of_bundle(full: Mapping[str, Any]) -> bool:
    """Whether the report judges a saved classifier, and nothing was trained for it.

    Parameters
    ----------
    full : mapping
        As `filled` gives it.
    """
    return bool(full["protocol"].get("name") == "bundle")


def leaking(full: Mapping[str, Any]) -> bool:
    """Whether leaks are left that could change what is concluded.

    Groups are no excuse: they do not move images of a given test part, and an expression may miss copies.

    Parameters
    ----------
    full : mapping
        As `filled` gives it.
    """
    return not full["protocol"].get("drop_leaks") and any(warning["kind"] == "leak" for warning in full["warnings"])


def judged_by_copies(full: Mapping[str, Any]) -> bool:
    """Whether such leaks reach the images that judge, and not only the folds of the search.

    Parameters
    ----------
    full : mapping
        As `filled` gives it.
    """
    leaks = full["leaks"]
    return _copies(full) and (not leaks or any(leaks[kind] for kind in ("identical", "near", "stems")))


def split_by_folds(full: Mapping[str, Any]) -> bool:
    """Whether copies lie in different folds of the search, and nothing was done about it.

    Parameters
    ----------
    full : mapping
        As `filled` gives it.
    """
    return _copies(full) and not judged_by_copies(full)


def _copies(full: Mapping[str, Any]) -> bool:
    """Whether a warning of kind "leak" is about copies, not about groups that the data name."""
    return leaking(full) and any(w["kind"] == "leak" and w.get("of") != "groups" for w in full["warnings"])


def shown_better(pair: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> int | None:
    """The run that a paired test shows to be better: the one place that says so, by the corrected p-value.

    Parameters
    ----------
    pair : mapping
        One of the report's comparisons, as `filled` gives it.
    runs : sequence of mapping
        Of the report.

    Returns
    -------
    int or None
        Index of the better run; None where no difference is shown, or where the report does not hold both runs.
    """
    a, b = pair["a_run"], pair["b_run"]
    if pair["p_holm"] >= SIGNIFICANT or a is None or b is None:
        return None
    if pair["a_only"] is None or pair["b_only"] is None:
        return int(a if runs[a]["accuracy"] > runs[b]["accuracy"] else b)
    return int(a if pair["a_only"] > pair["b_only"] else b)


def only_class(run: Mapping[str, Any]) -> str | None:
    """The class that all judged images are of, None where there are several: such a part cannot tell classes apart.

    Parameters
    ----------
    run : mapping
        Of the report, as `filled` gives it.
    """
    judged = [row["name"] for row in run["per_class"] if row["support"]]
    return judged[0] if len(judged) == 1 and len(run["per_class"]) > 1 else None


def shifted(full: Mapping[str, Any]) -> bool:
    """Whether the test images are shown to be of another kind than the training images.

    Parameters
    ----------
    full : mapping
        As `filled` gives it.
    """
    return bool((full["shift"] or {}).get("shifted"))
