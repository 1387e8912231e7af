"""Robust accuracy: how many images of a test part stay right, whatever an attacker does within epsilon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.pgd import run_attack
from classifiers.inspection.lossless_crop import to_bytes
from classifiers.models.image_classifier import ImageClassifier
from classifiers.validation.significance import wilson
from featstore.errors import AttackError, DecodeError, ImagesNotFoundError, UnknownNameError
from featstore.images.image_set import ImageSet
from featstore.system.reporting import Progress, printable_path

BATCH = 16
EPSILONS = {"linf": (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255), "l2": (0.0, 0.25, 0.5, 1.0, 2.0)}
"""Where the curve is measured, by norm."""


@dataclass(frozen=True, eq=False)
class Robustness:
    """Accuracy against the size of the change that an attacker is allowed.

    Attributes
    ----------
    epsilons : tuple of m float
        Ascending, the first is 0.
    right : ndarray of shape (m, n), bool
        Whether each image is classified correctly, whatever was tried within epsilon.
    labels : ndarray of shape (n,), int64
    classes : tuple of str
    attack : Attack
        At the largest epsilon.
    failed : tuple of (str, str)
        Path and reason of images that could not be read; they are in no number.
    seconds : float
    """

    epsilons: tuple[float, ...]
    right: NDArray[np.bool_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    attack: Attack
    failed: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def accuracy(self) -> tuple[float, ...]:
        """At each epsilon."""
        return tuple(float(row.mean()) for row in self.right)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the curve with Wilson intervals, and how the images were attacked."""
        n = self.right.shape[1]
        return {
            "images": n,
            "clean_accuracy": self.accuracy[0],
            "curve": [
                {
                    "epsilon": epsilon,
                    "grey_levels": epsilon * 255 if self.attack.norm == "linf" else None,
                    "right": int(row.sum()),
                    "accuracy": float(row.mean()),
                    "accuracy_ci": list(wilson(int(row.sum()), n)),
                }
                for epsilon, row in zip(self.epsilons, self.right, strict=True)
            ],
            "attack": {name: value for name, value in self.attack.to_json().items() if name != "epsilon"},
            "failed": [{"image": path, "reason": reason} for path, reason in self.failed],
            "seconds": self.seconds,
        }


def judged_rows(
    images: ImageSet, classifier: ImageClassifier, limit: int | None = None, seed: int = 0
) -> tuple[list[int], list[int], str]:
    """The test part of a data set.

    Parameters
    ----------
    images : ImageSet
    classifier : ImageClassifier
        Must know every class of the part by its name.
    limit : int, optional
        Images at most, drawn by `seed`.

    Returns
    -------
    rows : list of int
        Of `images`: its "test" part, else its "val" part, else everything; without images that have no label.
    labels : list of int
        Index of each row's class among the classifier's.
    part : str
        In words.

    Raises
    ------
    UnknownNameError
    AttackError
        No image has a label.
    """
    labelled = images.labelled()
    if not labelled.any():
        raise AttackError(
            f"no image of data set {images.name!r} has a label, so none can be judged; name a data set whose classes "
            "are known"
        )
    parts = [split for split in ("test", "val") if (labelled & (images.splits == split)).any()]
    rows = np.flatnonzero(labelled & (images.splits == parts[0])) if parts else np.flatnonzero(labelled)
    where = f"the {parts[0]} part" if parts else "the whole set, as it has no test part"
    part = f"the {len(rows)} images of {where}"
    if left := int(np.count_nonzero(~labelled)):
        part += f" ({left} without a label left out)"
    if limit is not None and limit < len(rows):
        part = f"{limit} of {part}"
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    index = {}
    for label in np.unique(images.labels[rows]).tolist():
        name = images.classes[label]
        if name not in classifier.classes:
            hint = f"it is one of {images.name}'s, all of which the classifier must know: use a bundle trained on them"
            raise UnknownNameError("class", name, classifier.classes, hint)
        index[label] = classifier.index(name)
    return rows.tolist(), [index[label] for label in images.labels[rows].tolist()], part


def robust_accuracy(
    classifier: ImageClassifier,
    paths: Sequence[bytes],
    labels: Sequence[int],
    attack: Attack,
    epsilons: Sequence[float] | None = None,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Robustness:
    """Attack every image at growing epsilons, until it is misclassified.

    An image that is fooled within one epsilon is fooled within every larger one too, so only the others are attacked
    on: the curve can only fall.

    Parameters
    ----------
    classifier : ImageClassifier
        On `device`.
    paths : sequence of n bytes
    labels : sequence of n int
        Index of each image's class among the classifier's.
    attack : Attack
        Its epsilon is replaced. Each image is let go as soon as it is fooled.
    epsilons : sequence of float, optional
        Default: those of `EPSILONS`. 0 is added: the accuracy without attack.

    Raises
    ------
    AttackError
        The method knows no epsilon, no image can be read, or an epsilon is not one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> classifier = ImageClassifier(backbone, torch.nn.Linear(512, 2), ("cat", "dog"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "grey.png")
    ...     Image.new("RGB", (48, 48), "grey").save(path)
    ...     found = robust_accuracy(classifier, [bytes(path)], [1], Attack(steps=2), [2 / 255])
    >>> len(found.epsilons), found.accuracy[0] >= found.accuracy[1]
    (2, True)
    """
    if attack.method == "descent":
        raise AttackError("descent has no bound, so there is no accuracy within one; use pgd or fgsm")
    growing = sorted({0.0, *(EPSILONS[attack.norm] if epsilons is None else epsilons)})
    stages = [replace(attack, epsilon=epsilon, enough=0.0) for epsilon in growing]
    began = time.perf_counter()
    failed: list[tuple[str, str]] = []
    columns: list[NDArray[np.bool_]] = []
    kept: list[int] = []
    for start in range(0, len(paths), BATCH):
        rows, pictures = _read(classifier, paths, range(start, min(start + BATCH, len(paths))), failed)
        if rows:
            truth = [labels[row] for row in rows]
            columns.append(_withstand(classifier, pictures, truth, stages, rows, device))
            kept += rows
        if progress is not None:
            progress("images", min(start + BATCH, len(paths)), len(paths), "")
    if not kept:
        raise AttackError(f"none of the {len(paths)} images can be read; the first: {': '.join(failed[0])}")
    return Robustness(
        epsilons=tuple(growing),
        right=np.concatenate(columns, axis=1),
        labels=np.array([labels[row] for row in kept], dtype=np.int64),
        classes=classifier.classes,
        attack=stages[-1],
        failed=tuple(failed),
        seconds=time.perf_counter() - began,
    )


def _withstand(
    classifier: ImageClassifier,
    pictures: NDArray[np.uint8],
    labels: Sequence[int],
    stages: Sequence[Attack],
    numbers: Sequence[int],
    device: torch.device | str,
) -> NDArray[np.bool_]:
    """Which of a batch's images are right at each epsilon, of shape (m, b)."""
    right = np.zeros((len(stages), len(pictures)), dtype=bool)
    standing = list(range(len(pictures)))
    for stage, attack in enumerate(stages):
        if standing:
            done = run_attack(
                classifier,
                pictures[standing],
                [labels[i] for i in standing],
                attack,
                device=device,
                numbers=[numbers[i] for i in standing],
            )
            right[stage, standing] = ~done.fooled
        standing = np.flatnonzero(right[stage]).tolist()
    return right


def _read(
    classifier: ImageClassifier, paths: Sequence[bytes], rows: range, failed: list[tuple[str, str]]
) -> tuple[list[int], NDArray[np.uint8]]:
    """The rows that can be read, and what the network sees of them."""
    good, pictures = [], []
    for row in rows:
        try:
            pictures.append(to_bytes(classifier.open([paths[row]]))[0])
            good.append(row)
        except (DecodeError, ImagesNotFoundError) as error:
            failed.append((printable_path(paths[row]), str(error)))
    return good, np.stack(pictures) if pictures else np.empty((0, 0, 0, 3), dtype=np.uint8)
