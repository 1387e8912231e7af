"""Where a report's figures come from: features, searches, protocol, environment, certificates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from classifiers.formatting import NOTHING, count, interval, number, percent, printable, seconds, size
from classifiers.report.figures import plots
from classifiers.report.leaderboard import Leaderboard


@dataclass(frozen=True)
class CandidateRow:
    """One candidate as it is shown."""

    params: str
    accuracy: str
    folds: str
    log_loss: str
    seconds: str
    chosen: bool


@dataclass(frozen=True)
class Search:
    """One run's search as it is shown; `svg` where exactly one number was varied."""

    name: str
    count: str
    chosen: str
    rows: list[CandidateRow]
    svg: Markup | None


def search(run: Mapping[str, Any]) -> Search | None:
    """A run's search, None where there was nothing to choose from.

    Parameters
    ----------
    run : mapping
        One of the report's runs as `report_data.filled` gives it.
    """
    results = run["cv_results"]
    if len(results) < 2:
        return None
    rows = [
        CandidateRow(
            parameters(result["params"]),
            percent(result["accuracy"]),
            _range(result.get("fold_accuracies") or []),
            number(result.get("log_loss")),
            seconds(result.get("seconds")),
            all(run["params"].get(key) == value for key, value in result["params"].items()),
        )
        for result in results
    ]
    return Search(
        printable(run["name"]), count(len(rows), "candidate"), parameters(run["params"]), rows, _curve(results)
    )


def parameters(params: Mapping[str, Any]) -> str:
    """Parameters on one line: `C = 0.1, solver = lbfgs`."""
    shown = (f"{key} = {_value(value)}" for key, value in params.items())
    return printable(", ".join(shown)) or "nothing to choose"


def certificate(run: Mapping[str, Any]) -> str:
    """What the optimiser measured of its own success, on one line."""
    return parameters(run["certificate"]) if run["certificate"] else ""


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _range(accuracies: list[float]) -> str:
    return interval([min(accuracies), max(accuracies)]) if accuracies else ""


def _curve(results: list[dict[str, Any]]) -> Markup | None:
    keys = {key for result in results for key in result["params"]}
    varied = [key for key in keys if len({json.dumps(result["params"].get(key)) for result in results}) > 1]
    if len(varied) != 1 or len(results) < 3:
        return None
    key = varied[0]
    values = [result["params"].get(key) for result in results]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    points = [{"at": value, "accuracy": result["accuracy"]} for value, result in zip(values, results, strict=True)]
    wide = min(values) > 0 and max(values) / min(values) >= 50
    return plots.curve(points, "at", printable(key), "cross-validated accuracy, %", log=wide)


def provenance(full: Mapping[str, Any], board: Leaderboard) -> dict[str, Any]:
    """The texts of the page's last sections.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    board : Leaderboard

    Returns
    -------
    dict
        Names in the template `provenance.html` -> what stands there.
    """
    runs = full["runs"]
    environment = dict(full["environment"])
    versions = environment.pop("versions", {}) or {}
    date, spent = environment.pop("date", ""), environment.pop("seconds", None)
    protocol = [(key.replace("_", " "), value) for key, value in full["protocol"].items()]
    failed = [(printable(path), printable(why)) for f in full["features"] for path, why in f.get("failed") or []]
    keys = ("backbone", "node", "pool", "weights", "precision")
    found = [search(runs[row.run]) for row in board.rows]
    return {
        "searches": [s for s in found if s],
        "selected_on": runs[full["best_run"]]["selected_on"],
        "features": [
            {**{key: printable(str(f.get(key) or NOTHING)) for key in keys}, "key": f["feature_key"],
             "size": size(4 * f["dim"] * f["rows"]) if f.get("dim") and f.get("rows") else NOTHING,
             "dim": _plain(f.get("dim")), "rows": _plain(f.get("rows")), "failed": f.get("failed") or []}
            for f in full["features"]
        ],
        "failed": failed[:200],
        "failed_count": count(len(failed), "image"),
        "protocol": [(what, printable(_plain(value))) for what, value in protocol],
        "protocol_text": printable(full["protocol"].get("text", "")),
        "environment": [(what, printable(_plain(value))) for what, value in (*environment.items(), *versions.items())],
        "versions": versions,
        "date": printable(str(date)[:10]),
        "total_seconds": seconds(spent) if spent is not None else "",
        "certificates": [
            {"name": row.name, "params": parameters(runs[row.run]["params"]), "converged": row.cells["converged"],
             "certificate": certificate(runs[row.run]), "notes": printable("; ".join(runs[row.run]["notes"]))}
            for row in board.rows
        ],
    }  # fmt: skip


def _plain(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
