"""What became of attacked images, as a JSON document and a page. A run that is cut short leaves what it has."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classifiers.adversarial.attack import NORMS, Attack, epsilon_text
from classifiers.adversarial.example import AdversarialExample, success_rate
from classifiers.adversarial.files import REPORT
from classifiers.formatting import count, percent
from classifiers.report.figures.picture_page import Figure, PicturePage, Section
from featstore.system import fsio


@dataclass
class AttackReport:
    """Where and how the results of one attack are written.

    Attributes
    ----------
    out : Path
        Folder, which exists.
    attack : Attack
    classifier : mapping
        Of whom the results tell, as `classifier_choice.identity` gives it.
    notes : sequence of str
    skipped : sequence of (str, str)
        Printable path and reason of each file that was not given to the attack; told with those that it cannot read.
    """

    out: Path
    attack: Attack
    classifier: Mapping[str, Any]
    notes: Sequence[str] = ()
    skipped: Sequence[tuple[str, str]] = ()
    _written: tuple[Sequence[AdversarialExample], Sequence[tuple[str, str]], int] = field(
        default=((), (), 0), init=False
    )

    def document(
        self, results: Sequence[AdversarialExample], failed: Sequence[tuple[str, str]], left: int = 0
    ) -> dict[str, Any]:
        """Plain JSON; `left` images were not reached."""
        return {
            "format": 1,
            "classifier": dict(self.classifier),
            "attack": self.attack.to_json(),
            "results": [result.to_json() for result in results],
            "success_rate": success_rate(results),
            "attempted": sum(result.attempted for result in results),
            "left": left,
            "failed": [{"image": path, "reason": reason} for path, reason in [*failed, *self.skipped]],
            "notes": list(self.notes),
        }

    def write(self, results: Sequence[AdversarialExample], failed: Sequence[tuple[str, str]], left: int = 0) -> None:
        """Write the document."""
        self._written = results, list(failed), left
        document = self.document(results, failed, left)
        fsio.replace(self.out / REPORT[0], json.dumps(document, indent=2, allow_nan=False).encode() + b"\n")

    def write_page(
        self, results: Sequence[AdversarialExample], failed: Sequence[tuple[str, str]], left: int = 0
    ) -> Path:
        """Write the page, with the pictures that are in the folder.

        Returns
        -------
        Path
        """
        lead = f"{self.classifier['description']}. {self._in_words()} {summary(results)}"
        if left:
            lead += f" The run was cut short: {count(left, 'image')} not reached."
        lead += "".join(f" Note: {note}." for note in self.notes)
        page = PicturePage("Adversarial images", lead)
        for result in results:
            if result.picture is not None:
                with Image.open(result.picture) as picture:
                    figure = Figure(np.asarray(picture.convert("RGB")), _caption(result), wide=True)
                name = os.path.basename(result.image)  # noqa: PTH119 - a printable text, not a path any more
                page.sections.append(Section(name, " ".join(f"{note}." for note in result.notes), [figure]))
        if unread := [list(entry) for entry in (*failed, *self.skipped)]:
            page.sections.append(Section("Not read", table=(["image", "reason"], unread)))
        place = self.out / REPORT[1]
        fsio.replace(place, page.html().encode())
        return place

    def cut_short(self) -> str:
        """Write the page of a run that was broken off; what there is, and where, in words."""
        results, failed, left = self._written
        if not results:
            return "nothing was finished and nothing was written"
        page = self.write_page(results, failed, left)
        return f"{count(len(results), 'image')} done, {left} not reached: what there is lies in {page}"

    def _in_words(self) -> str:
        attack = self.attack
        if attack.method == "descent":
            return f"Gradient descent without a bound, at most {count(attack.rounds, 'step')}, seed {attack.seed}."
        bound = f"{NORMS[attack.norm]} within {epsilon_text(attack.epsilon, attack.norm)}"
        return f"{attack.method} in {bound}, {count(attack.rounds, 'step')}, seed {attack.seed}."


def summary(results: Sequence[AdversarialExample]) -> str:
    """The rate of success in a sentence, and what it is a share of; "" where nothing was attempted."""
    rate = success_rate(results)
    if rate is None:
        return "There was no image to attack."
    attempted = [result for result in results if result.attempted]
    labelled = sum(result.labelled for result in attempted)
    share = f"Success on {percent(rate)} % of {count(len(attempted), 'image')}"
    if labelled == len(attempted):
        return f"{share} that the classifier got right."
    which = "" if not labelled else f"{len(attempted) - labelled} of them "
    return f"{share}, {which}without a label: taken away from what the classifier said at first."


def _caption(result: AdversarialExample) -> str:
    outcome = "Fooled" if result.success else ("Not fooled" if result.attempted else "Not counted")
    return (
        f"{outcome}: {result.before} {result.before_probability:.3f} -> {result.after} {result.confidence:.3f}; "
        f"largest change {result.linf * 255:.0f} grey levels, length {result.l2:.2f}, SSIM {result.ssim:.4f}"
    )
