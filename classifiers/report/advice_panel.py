"""AdvicePanel: the advice as a section of a report's page and of its Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from markupsafe import Markup

from classifiers.formatting import interval, percent, points, printable
from classifiers.report.figures import plots


@dataclass(frozen=True)
class AdvicePanel:
    """What `advise --json` says, worded and drawn.

    Attributes
    ----------
    text, gain, regime, cost, next : str
    reasons : tuple of str
    nodes : tuple of dict
        One row a cached node: node, dim, accuracy, interval, log_me, h_score, as they are shown.
    charts : tuple of dict
        svg and caption.
    """

    text: str
    gain: str
    regime: str
    cost: str
    next: str
    reasons: tuple[str, ...]
    nodes: tuple[dict[str, str], ...]
    charts: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, advice: Mapping[str, Any] | None) -> Self | None:
        """The panel, None where there is no advice.

        Parameters
        ----------
        advice : mapping or None
            As `Advice.to_json()`.
        """
        if not advice:
            return None
        low, high = advice["expected_gain_ci"]
        evidence = advice["evidence"]
        nodes = tuple(
            {
                "node": printable(node["node"]),
                "dim": str(node["dim"]),
                "accuracy": percent(node["accuracy"]),
                "interval": interval(node["accuracy_ci"]),
                "log_me": f"{node['log_me']:.2f}",
                "h_score": f"{node['h_score']:.2f}",
            }
            for node in evidence["nodes"]
        )
        return cls(
            text=printable(advice["text"]),
            gain=f"Expected gain: {points(advice['expected_gain'])} points of accuracy "
            f"({points(low)} to {points(high)}).",
            regime=f"Regime {advice['regime']} of 4.",
            cost=printable((advice.get("cost") or {}).get("text", "")),
            next=printable(advice["next"]),
            reasons=tuple(printable(reason) for reason in advice["reasons"]),
            nodes=nodes,
            charts=tuple(_charts(evidence)),
        )


def _charts(evidence: Mapping[str, Any]) -> list[dict[str, Markup | str]]:
    charts: list[dict[str, Markup | str]] = []
    nodes = evidence["nodes"]
    if len(nodes) > 1:
        points = [(node["node"], node["accuracy"], node["accuracy_ci"]) for node in nodes]
        best, last = nodes[evidence["best"]]["node"], nodes[evidence["last"]]["node"]
        where = "the last node" if best == last else f"{best}, before the last node"
        charts.append({
            "svg": plots.steps(points, "accuracy, %"),
            "caption": f"Layer curve, out of fold on the training part: best at {printable(where)}.",
        })  # fmt: skip
    return charts
