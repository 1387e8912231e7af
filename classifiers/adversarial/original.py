"""An image that is to be attacked: its pixels, its class, and what the classifier says of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.inspection.lossless_crop import FramedCrop, to_tensor
from classifiers.models.image_classifier import ImageClassifier


@dataclass(frozen=True, eq=False)
class Original:
    """An image before the attack.

    Attributes
    ----------
    path : bytes
    frame : FramedCrop
    probabilities : ndarray of shape (k,), float32
        What the classifier says of it.
    label : int
        Index of the class that it is to be taken away from.
    labelled : bool
        `label` was given; otherwise it is what the classifier says.
    target : int or None
        Index of the class that it is to be taken for; None: any other.
    """

    path: bytes
    frame: FramedCrop
    probabilities: NDArray[np.float32]
    label: int
    labelled: bool
    target: int | None

    @classmethod
    def open(
        cls,
        classifier: ImageClassifier,
        path: bytes,
        target: int | None,
        truth: int | None,
        device: torch.device | str,
    ) -> Original:
        """Read an image file and ask the classifier.

        Parameters
        ----------
        truth : int or None
            Index of the class that it shows. None: the class that its folder is called by, else what is said of it.

        Raises
        ------
        ImagesNotFoundError, DecodeError
        """
        frame = FramedCrop.open(path, classifier.transform)
        said = probabilities(classifier, frame.crop, device)
        label = truth
        if label is None:
            folder = os.path.basename(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH119, PTH120 - bytes
            name = os.fsdecode(folder)
            label = classifier.classes.index(name) if name in classifier.classes else None
        return cls(path, frame, said, int(said.argmax()) if label is None else label, label is not None, target)

    @property
    def before(self) -> int:
        """Index of the class that the classifier is surest of."""
        return int(self.probabilities.argmax())

    @property
    def attempted(self) -> bool:
        """The classifier is right, and the target is another class: there is something to attack."""
        return self.before == self.label != self.target

    @property
    def worth_trying(self) -> bool:
        """Wrong from the start, but not yet the wrong class that was asked for."""
        return self.target is not None and self.target not in (self.before, self.label)

    def remarks(self, classes: Sequence[str]) -> list[str]:
        """Why there is nothing to attack, or nothing to count; in words."""
        said, label = classes[self.before], classes[self.label]
        if self.before == self.target:
            return [f"the classifier takes the original for {said} already; it was left as it is"]
        if self.label == self.target:
            return [f"the image shows {label}, which is the target; it was left as it is"]
        if self.before != self.label:
            left = "" if self.worth_trying else "; it was left as it is"
            return [f"the classifier gets the original wrong: {said}, not {label}{left}"]
        return []


@torch.no_grad()
def probabilities(
    classifier: ImageClassifier, crop: NDArray[np.uint8], device: torch.device | str
) -> NDArray[np.float32]:
    """What a classifier says of one input of shape (s, s, 3), uint8: of shape (k,)."""
    said: NDArray[np.float32] = classifier(to_tensor(crop[None]).to(device)).softmax(1)[0].cpu().numpy()
    return said
