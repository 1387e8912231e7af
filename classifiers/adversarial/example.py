"""AdversarialExample: an attacked image, saved without loss, opened again, and judged by what the file shows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.adversarial.attack import LEVELS, Attack
from classifiers.adversarial.original import Original, probabilities
from classifiers.adversarial.pgd import AttackResult
from classifiers.adversarial.ssim import ssim
from classifiers.formatting import count
from classifiers.inspection.lossless_crop import FramedCrop
from classifiers.models.image_classifier import ImageClassifier
from classifiers.report.figures.raster import grid, png
from featstore.system import fsio
from featstore.system.reporting import printable_path


@dataclass(frozen=True, eq=False)
class AdversarialExample:
    """One attacked image.

    Attributes
    ----------
    image : str
        Printable path of the original.
    true : str
        The class it was taken away from: its label, or what the classifier said where there was none.
    labelled : bool
        `true` is a label.
    before : str
        What the classifier said of the original.
    before_probability : float
    target : str or None
        The class it was to be taken for.
    after : str
        What the classifier says of the saved file.
    confidence : float
        Probability of `target` on the saved file; untargeted: of `after`.
    attempted : bool
        The original was classified as `true`, and `true` is not the target: there was something to attack.
    success : bool
        Attempted, and the saved file is taken for the target; untargeted: for anything but `true`.
    linf, l2, ssim : float
        Of the saved file against the original as the network sees it, pixels in [0, 1].
    within : bool
        The size of the change in the attack's norm is at most epsilon.
    steps : int
        Gradient steps taken.
    saved, picture : Path or None
        The adversarial file; original, change and result side by side.
    notes : tuple of str
        What the checks found.
    """

    image: str
    true: str
    labelled: bool
    before: str
    before_probability: float
    target: str | None
    after: str
    confidence: float
    attempted: bool
    success: bool
    linf: float
    l2: float
    ssim: float
    within: bool
    steps: int
    saved: Path | None
    picture: Path | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; paths as text."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        places = {name: None if plain[name] is None else str(plain[name]) for name in ("saved", "picture")}
        return plain | places | {"notes": list(self.notes)}


def success_rate(results: Sequence[AdversarialExample]) -> float | None:
    """Share of the attempted images that were fooled; None where none was attempted."""
    attempted = [result.success for result in results if result.attempted]
    return sum(attempted) / len(attempted) if attempted else None


def save_example(
    classifier: ImageClassifier,
    original: Original,
    done: tuple[AttackResult, int] | None,
    attack: Attack,
    places: tuple[Path, Path],
    device: torch.device | str,
) -> AdversarialExample:
    """Save one result, open it again, and measure.

    Parameters
    ----------
    classifier : ImageClassifier
        On `device`.
    original : Original
    done : (AttackResult, int) or None
        What the attack found, and the image's place in it; None where there was nothing to attack.
    attack : Attack
    places : (Path, Path)
        Of the adversarial file, and of the picture of original, change and result.

    Raises
    ------
    StoreWriteError
        The disk refuses.
    """
    classes, target = classifier.classes, original.target
    notes = original.remarks(classes)
    meant, steps = original.frame.crop, 0
    if done is not None:
        attacked, row = done
        meant, steps = attacked.pictures[row], int(attacked.steps[row])
        notes += _gradient_notes(attacked, row, attack)
    fsio.replace(places[0], png(original.frame.holding(meant).pixels, {"Description": _description(attack)}))
    reloaded = FramedCrop.open(os.fsencode(places[0]), classifier.transform).crop
    said = probabilities(classifier, reloaded, device)
    after = int(said.argmax())
    change = (reloaded.astype(np.float64) - original.frame.crop) / LEVELS
    linf, l2 = float(np.abs(change).max()), float(np.sqrt((change**2).sum()))
    within = attack.method == "descent" or {"linf": linf, "l2": l2}[attack.norm] <= attack.epsilon + 1e-9
    fooled = after == target if target is not None else after != original.label
    if not np.array_equal(reloaded, meant):
        worst = int(np.abs(reloaded.astype(int) - meant).max())
        notes.append(f"the saved file does not give back the pixels that were found (by up to {worst} grey levels)")
    if done is not None and bool(done[0].fooled[done[1]]) and not fooled:
        notes.append("the classifier was fooled during the attack, but is not by the saved file")
    if not within:
        notes.append(f"the change is larger than epsilon {attack.epsilon:g} in {attack.norm}")
    if original.attempted and not fooled and attack.epsilon > 0:
        kept = steps and not change.any()
        why = "; no change that was tried brought it nearer, so the result is the original" if kept else ""
        notes.append(
            f"the classifier was not fooled within {count(steps, 'step')}{why}; it takes the result for "
            f"{classes[after]}"
        )
    fsio.replace(places[1], png(_side_by_side(classes, original, reloaded, said)))
    return AdversarialExample(
        image=printable_path(original.path),
        true=classes[original.label],
        labelled=original.labelled,
        before=classes[original.before],
        before_probability=float(original.probabilities[original.before]),
        target=None if target is None else classes[target],
        after=classes[after],
        confidence=float(said[after if target is None else target]),
        attempted=original.attempted,
        success=original.attempted and fooled,
        linf=linf,
        l2=l2,
        ssim=ssim(original.frame.crop, reloaded),
        within=within,
        steps=steps,
        saved=places[0],
        picture=places[1],
        notes=tuple(notes),
    )


def _gradient_notes(attacked: AttackResult, row: int, attack: Attack) -> list[str]:
    notes = []
    if attacked.flat[row]:
        other = '; `goal="margin"` follows the logits instead' if attack.goal != "margin" else ""
        notes.append(f"the gradient at the original is exactly zero: the attack could only try at random{other}")
    if attacked.broken[row]:
        notes.append("a gradient was not finite; the attack stopped there")
    return notes


def _side_by_side(
    classes: Sequence[str], original: Original, result: NDArray[np.uint8], said: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Original, amplified change, result."""
    before, after = original.before, int(said.argmax())
    change = result.astype(int) - original.frame.crop
    factor = max(1, 127 // max(1, int(np.abs(change).max())))
    return grid(
        [original.frame.crop, np.clip(128 + factor * change, 0, 255).astype(np.uint8), result],
        columns=3,
        labels=[
            f"original\n{classes[before]}\n{original.probabilities[before]:.3f}",
            f"change x{factor}\ngrey is no change",
            f"result\n{classes[after]}\n{said[after]:.3f}",
        ],
    )


def _description(attack: Attack) -> str:
    bound = "without a bound" if attack.method == "descent" else f"{attack.norm} {attack.epsilon:.6g}"
    return f"adversarial image: {attack.method}, {bound}, seed {attack.seed}"
