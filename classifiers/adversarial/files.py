"""Adversarial image files: attacked, saved without loss, opened again, and judged by what the file shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.adversarial.attack import LEVELS, Attack
from classifiers.adversarial.original import Original, probabilities
from classifiers.adversarial.pgd import Attacked, run_attack
from classifiers.adversarial.ssim import ssim
from classifiers.formatting import count
from classifiers.inspection.file_names import make_room, plain, stems
from classifiers.inspection.lossless_crop import Frame
from classifiers.models.image_classifier import ImageClassifier
from classifiers.report.figures.raster import grid, png
from featstore.errors import DecodeError, ImagesNotFoundError
from featstore.system import fsio
from featstore.system.reporting import Progress, printable

BATCH = 8
REPORT = ("attack.json", "attack.html")
"""Files that tell of all images together, see `classifiers.adversarial.attack_report`."""


@dataclass(frozen=True, eq=False)
class Adversarial:
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


def success_rate(results: Sequence[Adversarial]) -> float | None:
    """Share of the attempted images that were fooled; None where none was attempted."""
    attempted = [result.success for result in results if result.attempted]
    return sum(attempted) / len(attempted) if attempted else None


def attack_files(
    classifier: ImageClassifier,
    paths: Sequence[bytes],
    attack: Attack,
    out: Path,
    *,
    target: int | None = None,
    truth: int | None = None,
    overwrite: bool = False,
    device: torch.device | str = "cpu",
    keep: Callable[[list[Adversarial], list[tuple[str, str]], int], None] | None = None,
    progress: Progress | None = None,
) -> tuple[list[Adversarial], list[tuple[str, str]]]:
    """Attack image files and write the results.

    The result is saved in the frame it was cut from (see `classifiers.inspection.lossless_crop`), so that the
    classifier's own transform leaves its pixels as they are; everything stated is measured on the file as the
    classifier opens it.

    Parameters
    ----------
    classifier : ImageClassifier
        On `device`.
    paths : sequence of bytes
    attack : Attack
    out : Path
        Folder for the pictures; made if it is missing.
    target : int, optional
        Index of the class to be taken for; None: any other.
    truth : int, optional
        Index of the class that all the images show. Default: the class that their folder is called by, else what the
        classifier says of them.
    overwrite : bool
        Replace files of earlier runs.
    keep : callable, optional
        Called after every few images with results, failed ones and the number of those not reached yet; what it writes
        is there when the run is cut short.

    Returns
    -------
    results : list of Adversarial
    failed : list of (str, str)
        Printable path and reason of each image that cannot be read; the others are not touched by it.

    Raises
    ------
    OutputExistsError
        A file is there already; nothing has been computed then.
    DecodeError
        None of the images can be read.
    """
    ending = "attacked" if target is None else f"as-{plain(classifier.classes[target])}"
    names = [f"{stem}-{ending}" for stem in stems(paths)]
    files = [f"{name}{end}.png" for name in names for end in ("", "-change")]
    with make_room(out, [*files, *REPORT], overwrite):
        results: list[Adversarial] = []
        failed: list[tuple[str, str]] = []
        for start in range(0, len(paths), BATCH):
            originals: dict[int, Original] = {}
            for row in range(start, min(start + BATCH, len(paths))):
                try:
                    originals[row] = Original.open(classifier, paths[row], target, truth, device)
                except (DecodeError, ImagesNotFoundError) as error:
                    failed.append((printable(paths[row]), str(error)))
            going = [row for row, original in originals.items() if original.attempted or original.worth_trying]
            done: Attacked | None = None
            if going:
                done = run_attack(
                    classifier,
                    np.stack([originals[row].frame.crop for row in going]),
                    [originals[row].label for row in going],
                    attack,
                    targets=None if target is None else [target] * len(going),
                    device=device,
                    numbers=going,
                    progress=_inner(progress, start, len(paths)),
                )
            for row, original in originals.items():
                found = (done, going.index(row)) if done is not None and row in going else None
                places = (out / f"{names[row]}.png", out / f"{names[row]}-change.png")
                results.append(_write(classifier, original, found, attack, places, device))
            reached = min(start + BATCH, len(paths))
            if keep is not None and results:
                keep(results, failed, len(paths) - reached)
            if progress is not None:
                progress("images", reached, len(paths), "")
        if not results and failed:
            raise DecodeError(
                failed[0][1] if len(failed) == 1 else f"none of {len(failed)} images can be read: {failed[0][1]}"
            )
        return results, failed


def _write(
    classifier: ImageClassifier,
    original: Original,
    done: tuple[Attacked, int] | None,
    attack: Attack,
    places: tuple[Path, Path],
    device: torch.device | str,
) -> Adversarial:
    """Save one result, open it again, and measure."""
    classes, target = classifier.classes, original.target
    notes = original.remarks(classes)
    meant, steps = original.frame.crop, 0
    if done is not None:
        attacked, row = done
        meant, steps = attacked.pictures[row], int(attacked.steps[row])
        notes += _gradient_notes(attacked, row, attack)
    fsio.replace(places[0], png(original.frame.holding(meant).pixels, {"Description": _description(attack)}))
    reloaded = Frame.open(os.fsencode(places[0]), classifier.transform).crop
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
    return Adversarial(
        image=printable(original.path),
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


def _gradient_notes(attacked: Attacked, row: int, attack: Attack) -> list[str]:
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


def _inner(progress: Progress | None, start: int, total: int) -> Progress | None:
    """Reports steps as a note of the images' bar."""
    if progress is None:
        return None
    return lambda stage, done, steps, note: progress("images", start, total, f"step {done} of {steps}, {note}")
