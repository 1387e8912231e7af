"""Where a report's figures come from: features, searches, protocol, environment, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifiers.candidates import certificate, parameters, search
from classifiers.leaderboard import Leaderboard
from classifiers.wording import NOTHING, count, printable, seconds, size


def provenance(full: Mapping[str, Any], board: Leaderboard) -> dict[str, Any]:
    """The texts of the page's last sections.

    Parameters
    ----------
    full : mapping
        A report's data as `reportdata.filled` gives it.
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
