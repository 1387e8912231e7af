"""What to do next after a comparison: the steps at the end of a verdict."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from classifiers.formatting import count, printable
from classifiers.report.report_data import judged_by_copies, leaking, of_bundle, shifted
from classifiers.types import BUDGETS, FOLDS

WIDE = 0.10
"""An interval wider than this says little about the second digit."""

FEWEST = 20
"""Judged images below which nothing is told: even a head without a mistake has an interval of more than 16 points."""

WITNESS = 0.7
"""Accuracy below which a head's doubts about a label are likelier to be its own mistakes."""


def next_steps(full: Mapping[str, Any], best: Mapping[str, Any]) -> list[str]:
    """What to do next, the most urgent first, at most four.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    best : mapping
        Its chosen run.

    Returns
    -------
    list of str
        Sentences that begin with a small letter.
    """
    steps = []
    if leaking(full):
        groups = (full["leaks"] or {}).get("groups")
        pattern = '"auto"' if groups == "auto" else f"r'{printable(groups or '')}'"
        how = f"`groups={pattern}`" if groups else "`drop_leaks=True`"
        steps.append(
            f"compare again with {how}, so that no image is judged by its own copies, nor a head chosen by them."
        )
    if shifted(full):
        steps.append(
            "label images like the test images and add them to the training part: cross-validation cannot tell how "
            "good heads are on such images, nor which one is best."
        )
    if best["weights"].startswith("random") and not of_bundle(full):
        steps.append('extract with pretrained weights (`weights="auto"`, or `weights="FILE"`) and compare again.')
    if best["beats_majority"] is False and best["n_test"] >= FEWEST and not of_bundle(full):
        steps.append("check labels and images in the galleries, then try another backbone or an earlier node.")
    low, high = best["accuracy_ci"]
    if high - low > WIDE and best["n_test"]:
        name, n = full["protocol"].get("name"), best["n_test"]
        what = "label more test images:" if name == "given" else "label more images:"
        part = " a held-out part of" if name == "holdout" else ""
        steps.append(f"{what}{part} {4 * n:,} instead of {n:,} would halve the interval.")
    suspects = (full["wrong_labels"] or {}).get("suspects", [])
    suspected = sum(bool(row.get("suspected")) for row in suspects)
    witness = best["accuracy"] if best["cv_accuracy"] is None else best["cv_accuracy"]
    if suspected and witness >= WITNESS:
        steps.append(f"look at the {count(suspected, 'image')} whose label is suspected to be wrong.")
    if best["beats_majority"] is not False and not judged_by_copies(full) and not of_bundle(full):
        steps.append(_keep(full, best))
    return steps[:4]


def _keep(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """The commands that keep the chosen head, trained as it was here, and ask for more."""
    protocol = full["protocol"]
    which = ["--key", best["feature_key"]] if len(full["features"]) > 1 else []
    which += ["--head", printable(best["head"])]
    if groups := protocol.get("groups"):
        which += ["--groups", shlex.quote(printable(groups))]
    if (budget := protocol.get("budget")) in BUDGETS and budget != "normal":
        which += ["--budget", budget]
    if protocol.get("class_weight") == "balanced":
        which += ["--class-weight", "balanced"]
    if type(seed := protocol.get("seed")) is int and seed > 0:
        which += ["--seed", str(seed)]
    if type(folds := protocol.get("folds")) is int and folds not in (0, FOLDS):
        which += ["--folds", str(folds)]
    place = shlex.quote(printable(full["store"])) if full["store"] else "STORE"
    of = ["--dataset", shlex.quote(printable(full["dataset"]["name"]))] if full["store"] else []
    images = " ".join(["", *of])
    return (
        f"`featstore train {place} {' '.join(which)}{images} -o classifier.safetensors` keeps this head, "
        f"and `featstore advise {place}{images}` says whether reopening the backbone would pay."
    )
