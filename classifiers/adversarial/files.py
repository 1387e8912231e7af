"""Adversarial image files: many images attacked in batches, and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.example import AdversarialExample, save_example
from classifiers.adversarial.original import Original
from classifiers.adversarial.pgd import AttackResult, run_attack
from classifiers.inspection.file_names import distinct_names, output_folder, slug
from classifiers.models.image_classifier import ImageClassifier
from featstore.errors import DecodeError, ImagesNotFoundError
from featstore.system.reporting import Progress, printable_path

BATCH = 8
REPORT = ("attack.json", "attack.html")
"""Files that tell of all images together, see `classifiers.adversarial.attack_report`."""


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
    keep: Callable[[list[AdversarialExample], list[tuple[str, str]], int], None] | None = None,
    progress: Progress | None = None,
) -> tuple[list[AdversarialExample], list[tuple[str, str]]]:
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
    results : list of AdversarialExample
    failed : list of (str, str)
        Printable path and reason of each image that cannot be read; the others are not touched by it.

    Raises
    ------
    OutputExistsError
        A file is there already; nothing has been computed then.
    DecodeError
        None of the images can be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> classifier = ImageClassifier(backbone, torch.nn.Linear(512, 2), ("cat", "dog"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "grey.png")
    ...     Image.new("RGB", (48, 48), "grey").save(path)
    ...     results, failed = attack_files(classifier, [bytes(path)], Attack(steps=2), Path(folder, "out"))
    ...     results[0].within, results[0].saved.name
    (True, 'grey-attacked.png')
    """
    ending = "attacked" if target is None else f"as-{slug(classifier.classes[target])}"
    names = [f"{stem}-{ending}" for stem in distinct_names(paths)]
    files = [f"{name}{end}.png" for name in names for end in ("", "-change")]
    with output_folder(out, [*files, *REPORT], overwrite):
        results: list[AdversarialExample] = []
        failed: list[tuple[str, str]] = []
        for start in range(0, len(paths), BATCH):
            originals: dict[int, Original] = {}
            for row in range(start, min(start + BATCH, len(paths))):
                try:
                    originals[row] = Original.open(classifier, paths[row], target, truth, device)
                except (DecodeError, ImagesNotFoundError) as error:
                    failed.append((printable_path(paths[row]), str(error)))
            going = [row for row, original in originals.items() if original.attempted or original.worth_trying]
            done: AttackResult | None = None
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
                results.append(save_example(classifier, original, found, attack, places, device))
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


def _inner(progress: Progress | None, start: int, total: int) -> Progress | None:
    """Reports steps as a note of the images' bar."""
    if progress is None:
        return None
    return lambda stage, done, steps, note: progress("images", start, total, f"step {done} of {steps}, {note}")
