"""Robust accuracy on a data set, measured and told: a document, a page and a picture of the curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.adversarial.attack import NORMS, Attack, epsilon_text
from classifiers.adversarial.robustness import Robustness, judged_rows, robust_accuracy
from classifiers.formatting import count, interval, percent
from classifiers.inspection.file_names import output_folder
from classifiers.models.image_classifier import ImageClassifier
from classifiers.report.figures.line_chart import Line, line_chart
from classifiers.report.figures.picture_page import Figure, PicturePage, Section
from classifiers.report.figures.raster import png
from classifiers.validation.significance import wilson
from featstore.images.image_set import ImageSet
from featstore.system import fsio
from featstore.system.reporting import Progress

REPORT = ("robustness.json", "robustness.html", "robustness.png")
_UNITS = {"linf": "grey levels (of 255)", "l2": "length of the change (pixels from 0 to 1)"}


def report_robustness(
    classifier: ImageClassifier,
    images: ImageSet,
    attack: Attack,
    out: Path,
    *,
    epsilons: Sequence[float] | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure robust accuracy on the test part of a data set, and write what was found.

    Parameters
    ----------
    classifier : ImageClassifier
        On `device`.
    images : ImageSet
    attack : Attack
        See `classifiers.adversarial.robustness.robust_accuracy`.
    out : Path
        Folder for the files of `REPORT`; made if new.
    epsilons : sequence of float, optional
        Where to measure.
    limit : int, optional
        Images at most, drawn by the attack's seed.
    overwrite : bool
        Replace files of earlier runs.

    Returns
    -------
    dict
        The document; "saved" names the page and the picture.

    Raises
    ------
    UnknownNameError, OutputExistsError
        Before anything is computed.
    AttackError
        See `robust_accuracy`.
    """
    about = classifier.provenance()
    rows, labels, part = judged_rows(images, classifier, limit, attack.seed)
    paths = [images.absolute(row) for row in rows]
    with output_folder(out, REPORT, overwrite):
        found = robust_accuracy(classifier, paths, labels, attack, epsilons, device=device, progress=progress)
        places = write_curve(found, out, f"Robust accuracy on {images.name}", f"{about['description']}; {part}.")
        document = {"format": 1, "dataset": images.name, "part": part, "classifier": about, **found.to_json()}
        document["notes"] = classifier.caveats()
        document["saved"] = {name: str(path) for name, path in places.items()}
        fsio.replace(out / REPORT[0], json.dumps(document, indent=2, allow_nan=False).encode() + b"\n")
    return document


def draw_curve(robustness: Robustness) -> NDArray[np.uint8]:
    """The curve as a picture of shape (h, w, 3), uint8."""
    n = robustness.right.shape[1]
    bands = [wilson(int(row.sum()), n) for row in robustness.right]
    bounded = robustness.attack.norm == "linf"
    sizes = [epsilon * 255 if bounded else epsilon for epsilon in robustness.epsilons]
    # evenly spaced, as sizes mostly double from one to the next and most is lost at the first ones
    return line_chart(
        {"robust accuracy": Line(range(len(sizes)), robustness.accuracy, bands)},
        title=f"Accuracy under attack ({robustness.attack.method}, {NORMS[robustness.attack.norm]})",
        x_label=f"epsilon, {_UNITS[robustness.attack.norm]}, not to scale; band: 95 % interval",
        y_label="share of images still right",
        share=True,
        ticks=[(place, f"{size:.3g}") for place, size in enumerate(sizes)],
    )


def write_curve(robustness: Robustness, out: Path, title: str, whose: str) -> dict[str, Path]:
    """Write the curve as `robustness.png` and a page around it as `robustness.html`.

    Parameters
    ----------
    robustness : Robustness
    out : Path
    title : str
    whose : str
        The classifier and the images, in words.

    Returns
    -------
    dict of str to Path
        "png", "html".
    """
    picture = draw_curve(robustness)
    n = robustness.right.shape[1]
    rows = [
        [
            epsilon_text(e, robustness.attack.norm),
            f"{int(r.sum())} of {n}",
            percent(float(r.mean())),
            interval(wilson(int(r.sum()), n)),
        ]
        for e, r in zip(robustness.epsilons, robustness.right, strict=True)
    ]
    attack = robustness.attack
    how = (
        f"{count(n, 'image')} attacked with {attack.method} in {NORMS[attack.norm]}, "
        f"{count(attack.rounds, 'step')}, {count(attack.restarts, 'random start')}, seed {attack.seed}. An image "
        "counts as robust while no picture in whole grey levels was found within epsilon that is classified "
        "wrongly; a stronger attack may find more."
    )
    section = Section(
        "Robust accuracy",
        how,
        figures=[Figure(picture, "Accuracy against epsilon", wide=True)],
        table=(["epsilon", "right", "accuracy %", "95 % interval"], rows),
    )
    page = PicturePage(title, f"How easily this classifier is fooled: {whose}", [section])
    places = {"png": out / REPORT[2], "html": out / REPORT[1]}
    fsio.replace(places["png"], png(picture))
    fsio.replace(places["html"], page.html().encode())
    return places
