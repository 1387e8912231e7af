"""A report in Markdown, for issue trackers and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from classifiers.formatting import NOTHING, printable, seconds
from classifiers.report.advice_panel import AdvicePanel
from classifiers.report.confusion import Confusion
from classifiers.report.data_reading import data_reading
from classifiers.report.leaderboard import Leaderboard, extent, pair_rows
from classifiers.report.provenance import parameters
from classifiers.report.report_data import filled
from classifiers.report.verdict_panel import VerdictPanel, listed_warnings


def markdown(data: Mapping[str, Any]) -> str:
    """The report as Markdown.

    Parameters
    ----------
    data : mapping
        A report's data.

    Returns
    -------
    str
        GitHub's flavour (tables). Names from outside are escaped: none can make a link, a tag or a table of its own.
    """
    full = filled(data)
    board = Leaderboard(full)
    dataset = full["dataset"]
    verdict = VerdictPanel.of(full)
    lines = [f"# {escaped(dataset['name'])}", ""]
    lines += [f"**{sentence(verdict.headline)}**", ""]
    if verdict.random_weights:
        lines += [f"> **Random weights.** {escaped(verdict.random_weights)}", ""]
    if verdict.shift:
        lines += [f"> **Another kind of images.** {sentence(verdict.shift)}", ""]
    lines += [f"- {sentence(said)}" for said in verdict.sentences]
    if read := data_reading(full):
        lines += ["", "## Data", "", *(f"- {what}: {sentence(text)}" for what, text in read)]
    warnings = listed_warnings(full)
    if warnings or full["omitted"]:
        lines += ["", "## Warnings", ""]
        lines += [f"- {escaped(warning['kind'])}: {sentence(warning['text'])}" for warning in warnings]
        lines += [f"- left out: {escaped(gone['head'])}: {escaped(gone['reason'])}" for gone in full["omitted"]]
    if verdict.steps:
        lines += ["", "## Next", "", *(f"{i}. {sentence(step)}" for i, step in enumerate(verdict.steps, 1))]
    lines += ["", "## Heads", "", *_heads(full, board)]
    lines += _sets(full, board)
    listed = pair_rows(full)
    if listed:
        lines += ["", "## Pairs", "", "Exact McNemar test, p corrected by Holm's method.", ""]
        rows = [[p.a, p.b, p.a_only, p.b_only, p.p, p.p_holm, p.finding] for p in listed]
        lines += table(["one", "other", "only one right", "only other right", "p", "p, Holm", "finding"], rows, 2)
    lines += _advice(full)
    best = full["runs"][full["best_run"]]
    confused = Confusion.of(best, dataset["classes"]).rows(10)
    if confused:
        rows = [[row.true, row.answer, str(row.count), f"{row.share} %"] for row in confused]
        lines += ["", f"## Largest confusions of {escaped(best['name'])}", ""]
        lines += table(["true class", "taken for", "images", "of the class"], rows, 2)
    lines += ["", "## Provenance", "", *_provenance(full)]
    return "\n".join(lines) + "\n"


def _advice(full: Mapping[str, Any]) -> list[str]:
    panel = AdvicePanel.of(full["advice"])
    if panel is None:
        return []
    cost = f" Cost: {sentence(panel.cost)}." if panel.cost else ""
    lines = ["", "## Is the cache enough?", "", f"**{sentence(panel.text)}** {panel.gain} {panel.regime}{cost}", ""]
    lines += [f"- {sentence(reason)}" for reason in panel.reasons]
    rows = [[r["node"], r["accuracy"], r["interval"], r["log_me"], r["h_score"]] for r in panel.nodes]
    lines += ["", *table(["node", "accuracy %", "95 % interval", "LogME", "H-score"], rows, 1)]
    return [*lines, "", f"Next: {sentence('`' + panel.next + '`')}"]


def _heads(full: Mapping[str, Any], board: Leaderboard) -> list[str]:
    titles = ["head", *(column.title for column in board.columns), "parameters"]
    rows = []
    for row in board.rows:
        name = row.name + (" (chosen)" if row.best else " (reference)" if row.reference else "")
        cells = [row.cells[column.key] for column in board.columns]
        rows.append([name, *cells, parameters(full["runs"][row.run]["params"])])
    said = (f"{extent(full)}.", escaped(full["protocol"].get("text", "")), board.order)
    return [" ".join(filter(None, said)), "", *table(titles, rows, 1)]


def _sets(full: Mapping[str, Any], board: Leaderboard) -> list[str]:
    """Accuracy of heads x feature sets, where there are several sets."""
    if len(full["features"]) < 2:
        return []
    cells = {row.run: row.cells for row in board.rows}
    rows = [
        [head, *(NOTHING if i is None else f"{cells[i]['accuracy']} ({cells[i]['interval']})" for i in runs)]
        for head, runs in board.matrix()
    ]
    return ["", "## Accuracy %, heads and feature sets", "", *table(["head", *board.sets()], rows, 1)]


def _provenance(full: Mapping[str, Any]) -> Iterable[str]:
    for feature in full["features"]:
        named = ", ".join(
            f"{key} {feature[key]}" for key in ("node", "pool", "weights", "precision") if feature.get(key)
        )
        yield f"- features {escaped(feature['feature_key'])}: {escaped(feature['backbone'])}, {escaped(named)}"
    for key, value in full["environment"].items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        shown = seconds(value) if key == "seconds" else shown
        yield f"- {escaped(key)}: {escaped(str(shown))}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> list[str]:
    """A table; the first `texts` columns are aligned left, the others right."""
    rule = [":--" if i < texts else "--:" for i in range(len(titles))]
    lines = [[escaped(title) for title in titles], rule, *([escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def sentence(text: str) -> str:
    """A sentence of the verdict; `commands` between backticks stay code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escaped(text)
    return "".join(f"`{printable(part)}`" if i % 2 else escaped(part) for i, part in enumerate(parts))


def escaped(text: str) -> str:
    """A text in which nothing is taken for Markdown or HTML."""
    text = re.sub(r"([\\`*{}\[\]<>|#~$]|(?<!\w)_|_(?!\w))", r"\\\1", printable(text))
    # a bare address would become a link
    return re.sub(r"(?i)\b(https?|ftp|www)(?=[:.])", "\\1\u200b", text)
