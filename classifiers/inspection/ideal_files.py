"""An ideal image with and without variation loss, judged by other networks too, and written as pictures."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifiers.inspection.file_names import output_folder, slug
from classifiers.inspection.folded_classifier import FoldedClassifier
from classifiers.inspection.ideal import Ideal, IdealSettings, search_ideal
from classifiers.inspection.lossless_crop import FramedCrop, frame_side
from classifiers.inspection.side_by_side import side_by_side
from classifiers.models.class_names import find_class
from classifiers.models.image_classifier import ImageClassifier
from classifiers.report.figures.line_chart import Line, line_chart
from classifiers.report.figures.raster import grid, png
from featstore.errors import UnknownNameError
from featstore.system import fsio
from featstore.system.reporting import Progress

ENOUGH = 0.9
"""Probability below which the result is called a failure."""


@dataclass(frozen=True)
class Opinion:
    """What another network says of the picture.

    Attributes
    ----------
    network : str
    probability, probability_without_variation : float
        Of the class, on the picture found with and without variation loss.
    rank : int
        Of the class on the picture found with variation loss; 1 is first.
    says : str
        The class that it is surest of.
    """

    network: str
    probability: float
    probability_without_variation: float
    rank: int
    says: str


@dataclass(frozen=True, eq=False)
class IdealReport:
    """The ideal image of a class.

    Attributes
    ----------
    name : str
        The class.
    network : str
    with_variation, without_variation : Ideal
        The same search, the same seed; in the second the variation loss has no weight.
    settings : IdealSettings
    opinions : tuple of Opinion
    files : dict of str to Path
        "saved" (the picture), "without_variation", "strip", "loss", "json".
    notes : tuple of str
    seconds : float
        Of both searches.
    """

    name: str
    network: str
    with_variation: Ideal
    without_variation: Ideal
    settings: IdealSettings
    seed: int
    opinions: tuple[Opinion, ...]
    files: dict[str, Path]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `featstore ideal --json` prints it."""
        return {
            "format": 1,
            "class": self.name,
            "network": self.network,
            "probability": self.with_variation.probability,
            "probability_without_variation": self.without_variation.probability,
            "total_variation": self.with_variation.total_variation,
            "total_variation_without": self.without_variation.total_variation,
            "others": [asdict(opinion) for opinion in self.opinions],
            "saved": str(self.files["saved"]),
            "files": {name: str(path) for name, path in self.files.items()},
            "settings": asdict(self.settings),
            "seed": self.seed,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def ideal_image(
    classifier: ImageClassifier,
    target: int,
    out: Path,
    *,
    settings: IdealSettings | None = None,
    start: bytes | None = None,
    others: Sequence[ImageClassifier] = (),
    seed: int = 0,
    overwrite: bool = False,
    device: torch.device | str = "cpu",
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> IdealReport:
    """Search the ideal image of a class and write it down.

    The picture is as large as the classifier resizes images to, so that opening the file changes none of its pixels:
    the probability stated is what the classifier says of the saved file.

    Parameters
    ----------
    classifier : ImageClassifier
        On `device`.
    target : int
        Index of the class.
    out : Path
        Folder for the files; made if new.
    settings : IdealSettings, optional
    start : bytes, optional
        Path of an image to start from instead of noise.
    others : sequence of ImageClassifier
        On `device`; asked for their opinion of the picture. Each must know the class by its name.
    seed : int
    overwrite : bool
    notes : sequence of str
        To be stated in the report.
    progress : callable, optional

    Raises
    ------
    OutputExistsError, UnknownNameError
        Before anything is computed.
    TrainingError

    Examples
    --------
    >>> import tempfile
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> classifier = ImageClassifier(backbone, torch.nn.Linear(512, 2), ("cat", "dog"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = ideal_image(classifier, 1, Path(folder), settings=IdealSettings(steps=2, views=1))
    ...     sorted(path.name for path in report.files.values())[:2]
    ['ideal-dog-loss.png', 'ideal-dog-strip.png']
    """
    settings = settings or IdealSettings.usual(len(classifier.classes))
    name = classifier.classes[target]
    stem = f"ideal-{slug(name)}"
    endings = {"saved": "", "without_variation": "-without-variation", "strip": "-strip", "loss": "-loss"}
    files = {what: out / f"{stem}{ending}.png" for what, ending in endings.items()} | {"json": out / f"{stem}.json"}
    places = [_index_in(other, name) for other in others]
    spec = classifier.transform
    begin = None if start is None else FramedCrop.open(start, spec).pixels
    with output_folder(out, [path.name for path in files.values()], overwrite):
        began = time.perf_counter()
        swift = FoldedClassifier(classifier)

        def search(stage: str, chosen: IdealSettings, report: Progress | None) -> Ideal:
            return search_ideal(
                swift, target, side=frame_side(spec), size=spec.crop, settings=chosen, start=begin, seed=seed,
                device=device, stage=stage, progress=report,
            )  # fmt: skip

        calm, wild = side_by_side(
            [
                partial(search, "with variation", settings),
                partial(search, "without", replace(settings, variation_weight=0.0)),
            ],
            progress,
        )
        _draw(files, name, calm, wild, settings)
        calm, wild = (
            replace(result, probability=_said(classifier, files[what], target, device))
            for result, what in ((calm, "saved"), (wild, "without_variation"))
        )
        seconds = time.perf_counter() - began
        remarks = list(notes)
        if calm.probability < ENOUGH:
            remarks.append(
                f"the class reached only {calm.probability:.3f}; try more `steps`, a smaller `variation_weight` or "
                f"another `seed`"
            )
        begun = calm.strip[0][2]
        if start is None and begun >= 0.5:
            remarks.append(
                f"the noise that the search starts from is taken for {name} already (p {begun:.3f}): among "
                f"{len(classifier.classes)} classes a high probability says little about the picture"
            )
        remarks += [caveat for other in others for caveat in other.caveats()]
        opinions = tuple(_opinion(other, place, files, device) for other, place in zip(others, places, strict=True))
        report = IdealReport(
            name, classifier.description, calm, wild, settings, seed, opinions, files, tuple(remarks), seconds
        )
        fsio.replace(files["json"], json.dumps(report.to_json(), indent=2, allow_nan=False).encode() + b"\n")
        return report


def _index_in(other: ImageClassifier, name: str) -> int:
    try:
        return find_class(other.classes, name) if not name.isdigit() else other.index(name)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"class of {other.description}",
            name,
            other.classes,
            "a second network must know the class by the same name",
        ) from error


@torch.no_grad()
def _said(classifier: ImageClassifier, file: Path, target: int, device: torch.device | str) -> float:
    """What the classifier itself says of a saved picture."""
    return float(classifier(classifier.open([file]).to(device)).softmax(1)[0, target])


@torch.no_grad()
def _opinion(other: ImageClassifier, index: int, files: dict[str, Path], device: torch.device | str) -> Opinion:
    pictures = other.open([files["saved"], files["without_variation"]]).to(device)
    calm, wild = other(pictures).softmax(1).cpu().numpy()
    rank = int((calm >= calm[index]).sum())  # one that is as sure of every class does not rank this one first
    return Opinion(other.description, float(calm[index]), float(wild[index]), rank, other.classes[int(np.argmax(calm))])


def _draw(files: dict[str, Path], name: str, calm: Ideal, wild: Ideal, settings: IdealSettings) -> None:
    """Write the four pictures."""
    about = {"Description": f"ideal image of {name}, p {calm.probability:.4f}"}
    fsio.replace(files["saved"], png(calm.picture, about))
    fsio.replace(files["without_variation"], png(wild.picture))
    tiles = [picture for result in (calm, wild) for _, picture, _ in result.strip]
    labels = [f"step {step}\np {p:.3f}" for result in (calm, wild) for step, _, p in result.strip]
    title = f"{name}: with variation loss (above) and without (below)"
    fsio.replace(files["strip"], png(grid(tiles, columns=len(calm.strip), labels=labels, title=title)))
    steps = range(1, settings.steps + 1)
    lines = {part: Line(steps, values) for part, values in calm.losses.items() if max(values) > 0}
    lines["cross-entropy, no variation loss"] = Line(steps, wild.losses["cross-entropy"])
    coarse = math.ceil(settings.steps * settings.coarse)
    x_label = f"step; up to {coarse} the network looks at small views" if coarse else "step"
    chart = line_chart(lines, title=f"Loss for {name}", x_label=x_label, y_label="loss, weights included", log=True)
    fsio.replace(files["loss"], png(chart))
