"""The advice as a section of the report that `featstore compare` wrote."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from classifiers.advice.decision import Advice
from classifiers.report.report import Report
from classifiers.report.report_data import filled
from classifiers.report.verdict import verdict
from classifiers.types import FOLDS
from featstore.errors import FeaturesError


def add_to_report(
    folder: Path,
    advice: Advice,
    store: str | os.PathLike[str],
    *,
    worded: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Advice:
    """Put the advice into the report in a folder, as a section of its own, and take away the step to ask for it.

    Parameters
    ----------
    folder : Path
        Its report.json is read, and all of its renderings are written anew.
    advice : Advice
    store : path
        For the next command.
    worded : callable
        Puts the sentences of the report's data into other words before it is written.

    Returns
    -------
    Advice
        With the next command that is left where the heads are compared already: to keep the chosen one.

    Raises
    ------
    ReportNotFoundError, ReportError
        There is none, or it cannot be read.
    FeaturesError
        It is of another data set or network.
    """
    report = Report.load(folder)
    data, about = report.data, advice.about
    if data["dataset"]["name"] != about["dataset"] or set(data["dataset"]["classes"]) != set(advice.classes):
        raise FeaturesError(
            f"the report in {folder} is of the data set {data['dataset']['name']!r} "
            f"({len(data['dataset']['classes'])} classes), the advice of {about['dataset']!r} ({len(advice.classes)}); "
            f"give the folder of its own report"
        )
    networks = {(run["backbone"], run["weights"]) for run in data["runs"]}
    if (about["backbone"], about["weights"]) not in networks:
        raise FeaturesError(
            f"the report in {folder} has no features of {about['backbone']} with the weights {about['weights']}, which "
            f"the advice is about; it has {', '.join(f'{name} ({weights})' for name, weights in sorted(networks))}"
        )
    full = filled(data)
    chosen = full["runs"][full["best_run"]]
    if advice.verdict == "cache-is-enough" and not chosen["reference"]:
        advice = dataclasses.replace(advice, next=_train_command(store, about["dataset"], chosen, full["protocol"]))
    data = {**data, "advice": advice.to_json()}
    if data.get("verdict"):
        data["verdict"] = verdict(data)  # its last steps are others now
    Report(worded(data)).write(folder)
    return advice


def _train_command(
    store: str | os.PathLike[str], dataset: str, run: Mapping[str, Any], protocol: Mapping[str, Any]
) -> str:
    """The command that keeps the head of a report's run, trained as it was there."""
    command = ["featstore", "train", os.fspath(store), "--dataset", dataset, "--key", run["feature_key"]]
    command += ["--head", run["head"]]
    usual = {"groups": None, "budget": "normal", "class_weight": None, "seed": 0, "folds": FOLDS}
    for name, value in usual.items():
        given = protocol.get(name)
        if given not in (None, value, "") and isinstance(given, str | int) and (name, given) != ("folds", 0):
            command += ["--" + name.replace("_", "-"), str(given)]
    command += ["--allow-few"] if protocol.get("allow_few") else []
    return shlex.join([*command, "-o", f"{dataset}.safetensors"])
