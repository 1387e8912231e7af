"""What to do next after a comparison: the steps at the end of a verdict."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from classifiers.formatting import count, printable
from classifiers.report.report_data import judged_by_copies, leaking, of_bundle, only_class, shifted, split_by_folds
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
    alone, lost = only_class(best), best["beats_majority"] is False
    if leaking(full):
        steps.append(_without_copies(full))
    if full["conflicts"]:
        n = len(full["conflicts"])
        stand, have, show, them = ("stands", "has", "shows", "it") if n == 1 else ("stand", "have", "show", "them")
        steps.append(
            f"correct the labels: {count(n, 'pair')} of images {stand} under two classes and {have} the same bytes or "
            f"{show} one picture (report.json lists {them} under conflicts). Then extract and compare again."
        )
    if shifted(full):
        steps.append(
            "label images like the test images and add them to the training part: cross-validation cannot tell how "
            "good heads are on such images, nor which one is best."
        )
    if best["weights"].startswith("random") and not of_bundle(full):
        steps.append('extract with pretrained weights (`weights="auto"`, or `weights="FILE"`) and compare again.')
    if alone is not None:
        steps.append(_other_classes(full, alone))
    nobody = lost and not any(run["beats_majority"] for run in full["runs"])
    if nobody and alone is None and best["n_test"] >= FEWEST and not of_bundle(full) and not shifted(full):
        steps.append(_elsewhere(full, best))
    low, high = best["accuracy_ci"]
    if high - low > WIDE and best["n_test"] and alone is None and not (lost and shifted(full)):
        name, n = full["protocol"].get("name"), best["n_test"]
        what = "label more test images:" if name == "given" else "label more images:"
        part = " a held-out part of" if name == "holdout" else ""
        steps.append(f"{what}{part} {4 * n:,} instead of {n:,} would halve the interval.")
    witness = best["accuracy"] if best["cv_accuracy"] is None else best["cv_accuracy"]
    if (suspected := suspected_labels(full)) and witness >= WITNESS:
        steps.append(f"look at the {suspected.removeprefix('1 ')} whose label is suspected to be wrong.")
    if not lost and alone is None and not judged_by_copies(full) and not of_bundle(full):
        steps.append(_keep(full, best))
    return steps[:4]


def suspected_labels(full: Mapping[str, Any]) -> str:
    """How many images have a suspected label, and of which part they are: `3 training images`; "" where none has.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    """
    images = [row["image"] for row in (full["wrong_labels"] or {}).get("suspects", []) if row.get("suspected")]
    if not images:
        return ""
    parts = set()
    if full["protocol"].get("name") == "given":
        judged = {image for run in full["runs"] for image in (run["predictions"] or {"image": []})["image"]}
        parts = {"test" if image in judged else "training" for image in images}
    return count(len(images), f"{parts.pop()} image" if len(parts) == 1 else "image")


def _without_copies(full: Mapping[str, Any]) -> str:
    """How to compare without leaks: in a given test part only training images can be left out."""
    leaks, given = full["leaks"] or {}, full["protocol"].get("name") == "given"
    groups = leaks.get("groups")
    how = "`drop_leaks=True`"
    if groups and (split_by_folds(full) or not given):
        how = '`groups="auto"`' if groups == "auto" else f"`groups=r'{printable(groups)}'`"
    if all(warning.get("of") == "groups" for warning in full["warnings"] if warning["kind"] == "leak"):
        return f"compare again with {how}, so that no image is judged by a head that has seen its group."
    return f"compare again with {how}, so that no image is judged by its own copies, nor a head chosen by them."


def _other_classes(full: Mapping[str, Any], alone: str) -> str:
    """What to do where images of one class alone judge."""
    if full["protocol"].get("name") == "given":
        return (
            f'add test images of other classes than {printable(alone)}, or compare again with `protocol="cv"`: it '
            "judges all images, by cross-validation."
        )
    if full["protocol"].get("groups") or full["protocol"].get("groups_of_the_data"):
        return (
            f"add images of other sources to the classes that are not judged, or name finer `groups`: only "
            f"{printable(alone)} has images of several groups."
        )
    return f"add images of other classes than {printable(alone)}."


def _elsewhere(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """Where to go on if no better head was found; not to nodes that were compared."""
    network = (best["backbone"], best["weights"])
    nodes = {run["node"] for run in full["runs"] if (run["backbone"], run["weights"]) == network}
    step = "check labels and images in the galleries, then try another backbone"
    if len(nodes) == 1:
        return f"{step} or an earlier node."
    compared = f"{step}: {len(nodes)} nodes of this one were compared."
    return compared if full["advice"] else f"{compared} {_advice(full, best)}."


def _keep(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """The commands that keep the chosen head, trained as it was here, and ask for more."""
    protocol, which = full["protocol"], ["--head", printable(best["head"])]
    if full["store"] or len(full["features"]) > 1:  # the store may hold more than was compared
        which = ["--key", best["feature_key"], *which]
    if groups := protocol.get("groups"):
        which += ["--groups", shlex.quote(printable(groups))]
    if (budget := protocol.get("budget")) in BUDGETS and budget != "normal":
        which += ["--budget", budget]
    if protocol.get("class_weight") == "balanced":
        which += ["--class-weight", "balanced"]
    which += _seed(full)
    if type(folds := protocol.get("folds")) is int and folds not in (0, FOLDS):
        which += ["--folds", str(folds)]
    if protocol.get("allow_few"):
        which += ["--allow-few"]
    place, of = _store(full)
    step = f"`featstore train {' '.join([place, *which, *of])} -o classifier.safetensors` keeps this head"
    if dropped := protocol.get("dropped"):
        step += f" (trained on all images, the {dropped:,} too that were left out here)"
    return f"{step}." if full["duel"] or full["advice"] else f"{step}, and {_advice(full, best)}."


def _advice(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """The command that asks for advice about the network of the chosen head."""
    place, of = _store(full)
    which = ["--backbone", printable(best["backbone"])] if full["store"] else []
    labels = {feature["weights"] for feature in full["features"] if feature["backbone"] == best["backbone"]}
    which += ["--weights", shlex.quote(printable(best["weights"]))] if len(labels) > 1 else []
    if (groups := full["protocol"].get("groups")) not in (None, "auto"):
        which += ["--groups", shlex.quote(printable(groups))]
    words = " ".join([place, *which, *_seed(full), *of])
    return f"`featstore advise {words}` says whether reopening the backbone would pay"


def _seed(full: Mapping[str, Any]) -> list[str]:
    seed = full["protocol"].get("seed")
    return ["--seed", str(seed)] if type(seed) is int and seed > 0 else []


def _store(full: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The store, and the option that names the data set, as they are typed."""
    if not full["store"]:
        return "STORE", []
    return shlex.quote(printable(full["store"])), ["--dataset", shlex.quote(printable(full["dataset"]["name"]))]
