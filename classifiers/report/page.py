"""A report as one HTML page: everything inside, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from classifiers.formatting import count, interval, percent, printable, seconds
from classifiers.report import gallery
from classifiers.report.advice_panel import AdvicePanel
from classifiers.report.data_reading import data_reading
from classifiers.report.figures import plots, scatter_map
from classifiers.report.figures.page_templates import asset, templates
from classifiers.report.figures.thumbnails import Sheet, Thumbnails
from classifiers.report.leaderboard import Leaderboard, extent, pair_rows
from classifiers.report.next_steps import suspected_labels
from classifiers.report.provenance import parameters, provenance
from classifiers.report.report_data import filled, judged_by_copies, shifted
from classifiers.report.run_panel import RECALL, RunPanel
from classifiers.report.verdict_panel import VerdictPanel, listed_warnings

PANELS = 600_000
"""Bytes for the panels of runs beyond the best one."""
SHEET = 950_000
"""Bytes of the picture that holds the map's thumbnails."""
LEGEND = 120
"""Classes in the map's legend at most."""


def html(data: Mapping[str, Any]) -> str:
    """The page.

    Parameters
    ----------
    data : mapping
        A report's data. Thumbnails are made from the data set's folder where it is still there.

    Returns
    -------
    str
        One HTML document.
    """
    full = filled(data)
    board = Leaderboard(full)
    best = full["runs"][full["best_run"]]
    thumbnails = Thumbnails(full["dataset"]["root"], full["images"]["paths"])
    mistakes, suspects, leaks = gallery.mistakes(full), gallery.suspects(full), gallery.leak_examples(full)
    shown = [card.image for card in (*mistakes, *suspects)]
    shown += [image for leak in leaks for image in (leak.a, leak.b) if image is not None]
    sheet = _sheet(thumbnails, full["map"]["image"]) if full["map"] else None
    context = {
        **_words(full),
        **_tables(full, board),
        "panels": _panels(full, board),
        "full_ruler": plots.ruler(RECALL),
        "order_text": _order_text(full),
        "curves": _curves(full),
        "advice": AdvicePanel.of(full["advice"]),
        "map": _map(full, sheet),
        "sheet": sheet,
        "pictures": thumbnails.pictures(shown, 192),
        "mistakes": mistakes,
        "mistakes_text": _mistakes_text(full, best, len(mistakes)),
        "suspects": suspects,
        "suspects_text": _suspects_text(full, len(suspects)),
        "leak_examples": leaks,
        **provenance(full, board),
    }
    context["sections"] = _sections(context)
    script = asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return templates().get_template("report.html").render(
        context, css=Markup(asset("report.css")), script=Markup(script), script_hash=f"sha256-{digest}",
        symbols=scatter_map.symbols(),
    )  # fmt: skip


def summary(data: Mapping[str, Any]) -> str:
    """The verdict and the table as a fragment for notebooks."""
    full = filled(data)
    board = Leaderboard(full)
    return templates().get_template("summary.html").render(**_words(full), columns=board.columns, rows=board.rows)


def _words(full: Mapping[str, Any]) -> dict[str, Any]:
    """The head of the page: name, verdict, warnings."""
    best = full["runs"][full["best_run"]]
    dataset = full["dataset"]
    domain = plots.share_domain([*best["accuracy_ci"]])
    return {
        "name": printable(dataset["name"]),
        "subtitle": extent(full).replace(", ", " · "),
        "reading": data_reading(full),
        "trusted": not judged_by_copies(full),
        "figure": percent(best["accuracy"]),
        "under": f"{printable(best['name'])}, {count(best['n_test'], 'image')} judged; "
        f"95 % interval {interval(best['accuracy_ci'])} %",
        "figure_whisker": plots.whisker(best["accuracy"], best["accuracy_ci"], domain, "best"),
        "figure_ruler": plots.ruler(domain),
        "verdict": VerdictPanel.of(full),
        "warnings": [(warning["kind"], printable(warning["text"])) for warning in listed_warnings(full)],
        "omitted": [(printable(gone["head"]), printable(gone["reason"])) for gone in full["omitted"]],
    }


def _tables(full: Mapping[str, Any], board: Leaderboard) -> dict[str, Any]:
    """The table of heads, and the one of heads x feature sets where there are several."""
    runs = full["runs"]
    heads = [run for run in runs if not run["reference"]] or runs
    domain = plots.share_domain([bound for run in heads for bound in run["accuracy_ci"]])
    kinds = {row.run: "best" if row.best else "reference" if row.reference else "plain" for row in board.rows}
    whiskers = {i: plots.whisker(runs[i]["accuracy"], runs[i]["accuracy_ci"], domain, kinds[i]) for i in kinds}
    texts = {row.run: row for row in board.rows}
    matrix = [
        (
            head,
            [None if i is None else {"best": texts[i].best, "whisker": whiskers[i], **texts[i].cells} for i in cells],
        )
        for head, cells in board.matrix()
    ]
    listed = pair_rows(full)
    chosen = printable(runs[full["best_run"]]["name"])
    mine = [pair for pair in listed if chosen in (pair.a, pair.b)]
    groups = [(f"The chosen head, {chosen}, and each other one", mine)] if mine else []
    if len(listed) > len(mine):
        groups.append((f"All {len(listed)} pairs", listed))
    return {
        "columns": board.columns,
        "rows": board.rows,
        "order": board.order,
        "sets": board.sets(),
        "matrix": matrix if len(full["features"]) > 1 else [],
        "whiskers": whiskers,
        "ruler": plots.ruler(domain),
        "table_caption": f"Feature set: {board.sets()[0]}" if len(full["features"]) == 1 else "All runs",
        "pairs": groups,
        "pair_test": full["comparisons"][0]["test"] if full["comparisons"] else "",
        "times": _times(full, board),
    }


def _times(full: Mapping[str, Any], board: Leaderboard) -> list[dict[str, Any]]:
    parts = ("search", "fit", "predict")
    spent = {row.run: [full["runs"][row.run][f"{part}_seconds"] for part in parts] for row in board.rows}
    longest = max(((s[0] or 0.0) + (s[1] or 0.0) for s in spent.values()), default=0.0)
    return [
        {"name": row.name, "reference": row.reference,
         **{part: seconds(value) for part, value in zip(parts, spent[row.run], strict=True)},
         "bar": plots.bar((spent[row.run][0] or 0.0) + (spent[row.run][1] or 0.0), longest)}
        for row in board.rows
    ]  # fmt: skip


def _panels(full: Mapping[str, Any], board: Leaderboard) -> list[RunPanel]:
    """The best run's panel, then those of the other heads as long as the page stays small."""
    chosen: list[RunPanel] = []
    room = PANELS
    for row in board.rows:
        if row.reference and chosen:
            continue
        panel = RunPanel(full, row.run)
        if chosen:
            room -= len(panel)
        if room < 0:
            break
        chosen.append(panel)
    return chosen


def _order_text(full: Mapping[str, Any]) -> str:
    from classifiers.report.confusion import DRAWN, GROUPED

    k = len(full["dataset"]["classes"])
    if k > DRAWN:
        return f"A matrix of {k:,} classes is not drawn; these are its largest entries."
    return "Classes that are confused stand next to each other." if k > GROUPED else ""


def _curves(full: Mapping[str, Any]) -> list[dict[str, Any]]:
    curves = []
    learning = full["learning_curve"]
    if learning and len(learning["points"]) > 1:
        svg = plots.curve(learning["points"], "train", "training images", "accuracy, %", log=True)
        text = f"Learning curve of {printable(learning['head'])} ({parameters(learning['params'])}). {learning['text']}"
        curves.append({"svg": svg, "caption": printable(text)})
    layers: dict[str, list[Mapping[str, Any]]] = {}
    for row in full["layer_curve"] or []:
        layers.setdefault(f"{row['backbone']} {row.get('weights') or ''}".strip(), []).append(row)
    for title, rows in layers.items():
        nodes = [row["node"] for row in rows]
        names = [n if nodes.count(n) == 1 else f"{n} {row['pool']}" for n, row in zip(nodes, rows, strict=True)]
        points = [(n, row["accuracy"], row.get("accuracy_ci")) for n, row in zip(names, rows, strict=True)]
        best = ", ".join(f"{name} ({row['head']})" for name, row in zip(names, rows, strict=True))
        caption = printable(f"Layer curve of {title}, the best head of each node by cross-validation: {best}.")
        curves.append({"svg": plots.steps(points, "accuracy, %"), "caption": caption})
    return curves


def _sheet(thumbnails: Thumbnails, images: Sequence[int]) -> Sheet | None:
    """The map's thumbnails, the larger the fewer they are."""
    return thumbnails.sheet(images, 96 if len(images) <= 250 else 72 if len(images) <= 600 else 56, SHEET)


def _map(full: Mapping[str, Any], sheet: Sheet | None) -> dict[str, Any] | None:
    places = full["map"]
    if not places or not places["image"]:
        return None
    classes = [printable(name) for name in full["dataset"]["classes"]]
    sure = full["runs"][full["best_run"]]["predictions"] or {"image": [], "confidence": []}
    confidence = dict(zip(sure["image"], sure["confidence"], strict=True))
    points = [
        [
            gallery.image_name(full, i),
            predicted,
            percent(confidence[i]) if i in confidence else None,
            sheet.cells.get(i) if sheet else None,
        ]
        for i, predicted in zip(places["image"], places["predicted"], strict=True)
    ]
    present = sorted(set(places["true"]))
    legend = [(c, classes[c], scatter_map.mark(c)) for c in present[:LEGEND]]
    text = (
        f"{count(len(points), 'image')}, laid out by {printable(places['method'])}: "
        "images that the network finds alike lie close together."
    )
    return {
        "svg": scatter_map.svg(places, f"Map of {count(len(points), 'image')} by the likeness of their features"),
        "legend": legend,
        "text": text,
        "data": {
            "classes": classes,
            "points": points,
            "sheet": {"columns": sheet.columns, "rows": sheet.rows} if sheet else None,
        },
    }


def _mistakes_text(full: Mapping[str, Any], best: Mapping[str, Any], shown: int) -> str:
    found = best["predictions"] or {"true": [], "predicted": []}
    wrong = sum(t != p for t, p in zip(found["true"], found["predicted"], strict=True))
    return (
        f"{printable(best['name'])} is wrong {count(wrong, 'time')}; these {shown} answers were the most confident. "
        "Where the answer looks right, the label may be wrong."
    )


def _suspects_text(full: Mapping[str, Any], shown: int) -> str:
    found = full["wrong_labels"] or {"suspects": [], "heads": []}
    marked = sum(bool(row.get("suspected")) for row in found["suspects"])
    by = f"by {', '.join(printable(head) for head in found['heads'])}" if found.get("heads") else "out of fold"
    which = (
        f"Suspected labels of {suspected_labels(full)}"
        if marked
        else "No label stands out; these are the least likely ones"
    )
    aside = (
        "No label of the test part is called suspect: heads mistake images of another kind." if shifted(full) else ""
    )
    return (
        f"{which}: judged {by}, fitted without the image itself. "
        f"{'The most suspect are shown; all are in report.json. ' if marked > shown else ''}{aside}"
    )


def _sections(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The navigation: what the page really has."""
    there: Sequence[tuple[str, str, Any]] = (
        ("verdict", "Verdict", True),
        ("warnings", "Warnings", context["warnings"] or context["omitted"] or context["leak_examples"]),
        ("next", "Next", context["verdict"].steps),
        ("heads", "Heads", True),
        ("pairs", "Pairs", context["pairs"]),
        ("classes", "Classes", context["panels"]),
        ("confusions", "Confusions", context["panels"]),
        ("calibration", "Calibration", context["panels"]),
        ("advice", "Advice", context["advice"]),
        ("curves", "Curves", context["curves"]),
        ("time", "Time", True),
        ("map", "Map", context["map"]),
        ("mistakes", "Mistakes", context["mistakes"]),
        ("labels", "Labels", context["suspects"]),
        ("search", "Search", context["searches"]),
        ("provenance", "Provenance", True),
    )
    return [(anchor, title) for anchor, title, present in there if present]
