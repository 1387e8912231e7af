"""FineTuneResult: what a fine-tune came to: two accuracies on the same images, and whether they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.advice.expected_gain import WORTH
from classifiers.formatting import count
from classifiers.training.unfreezing import HEAD
from classifiers.transfer.training_course import TrainingCourse
from classifiers.validation.significance import SIGNIFICANT, mcnemar_exact, wilson


@dataclass(frozen=True, eq=False)
class FineTuneResult:
    """The result of a fine-tune.

    Attributes
    ----------
    bundle : Path
        Written.
    weights_file : Path or None
        The tuned network, a backbone of its own; None where nothing but the head was trained.
    judged_on : {"test", "validation"}
        Which images the two accuracies are of. Validation images also chose the epoch, which flatters the tuned one.
    right_cached, right_tuned : ndarray of shape (n,), bool
        Whether each judged image was classified rightly, by the cached head and by the tuned network.
    settings : mapping
        As run.
    history : list of dict
        One entry an epoch.
    best : int
        The epoch that was kept; 0 is the cached head.
    details : mapping
        What else is worth printing: data set, regime, input size, weights.
    collapses : tuple of mapping
        Attempts that lost what they began with, after each of which the rates were halved.
    trials : tuple of mapping
        Of the rates, before the first step; see `rate_range.Trial`.
    diverged : bool
        Whether it was stopped because a loss or a gradient became NaN or infinite.

    Examples
    --------
    >>> right = np.arange(100) < 80
    >>> result = FineTuneResult(
    ...     Path("pets.bundle"), None, "test", right, np.arange(100) < 95, settings={}, history=[{}, {}], best=1,
    ...     seconds=9.0, seconds_per_epoch=8.0, preparation_seconds=1.0, stopped="", details={},
    ... )
    >>> result.verdict
    'Reopening the network gained 15.0 points on 100 test images (p = 6.1e-05).'
    """

    bundle: Path
    weights_file: Path | None
    judged_on: str
    right_cached: NDArray[np.bool_]
    right_tuned: NDArray[np.bool_]
    settings: Mapping[str, Any]
    history: list[dict[str, Any]]
    best: int
    seconds: float
    seconds_per_epoch: float
    preparation_seconds: float
    stopped: str
    details: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())
    collapses: tuple[Mapping[str, Any], ...] = field(default=())
    trials: tuple[Mapping[str, Any], ...] = field(default=())
    diverged: bool = False

    @property
    def p(self) -> float:
        """Exact McNemar test of the two on the same images."""
        only_cached = int((self.right_cached & ~self.right_tuned).sum())
        only_tuned = int((self.right_tuned & ~self.right_cached).sum())
        return mcnemar_exact(only_cached, only_tuned)

    @property
    def gain_ci(self) -> tuple[float, float]:
        """95 % interval of the accuracy gained, in [-1, 1].

        That of Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
        Medicine 24 (2005): half an image is added to each cell of the table of pairs, so that it holds for few images.
        """
        n = len(self.right_tuned) + 2
        lost = int((self.right_cached & ~self.right_tuned).sum()) + 0.5
        gained = int((self.right_tuned & ~self.right_cached).sum()) + 0.5
        middle = (gained - lost) / n
        half = 1.96 * math.sqrt(gained + lost - (gained - lost) ** 2 / n) / n
        return max(-1.0, middle - half), min(1.0, middle + half)

    @property
    def course(self) -> TrainingCourse:
        """What happened on the way."""
        validation = int(self.details.get("validation", 0))
        return TrainingCourse(
            self.history, self.best, self.collapses, self.stopped, self.settings, validation, self.trials, self.diverged
        )

    @property
    def verdict(self) -> str:
        """What came of it, in one or two sentences."""
        if self.best == 0:
            wish = " (`keep_any=True` keeps the best epoch all the same)" if self.course.undecided else ""
            return f"{self.course.kept_cached}, so the bundle holds the cached head{wish}."
        what = "Reopening the network"
        if self.settings.get("reopen") == HEAD:
            what = "Training the head further"
        if self.settings.get("from_scratch"):
            what = "Training from random weights"
        gain, n = float(self.right_tuned.mean() - self.right_cached.mean()), len(self.right_tuned)
        images = count(n, f"{self.judged_on} image")
        low, high = (100 * bound for bound in self.gain_ci)
        if self.p >= SIGNIFICANT:
            found = (
                f"No difference shown: {100 * gain:+.1f} points (between {low:+.1f} and {high:+.1f}, p = {self.p:.2g}) "
                f"on {images}"
            )
            if high < 100 * WORTH:
                return f"{found}: a gain of {100 * WORTH:.1f} points is ruled out, so the cached head is enough here."
            if gain < 0:
                return (
                    f"{found}: fewer images are right than with the cached head, but not more so than chance explains; "
                    f"more {self.judged_on} images would tell."
                )
            return f"{found}: too few to tell a gain from none; more {self.judged_on} images would."
        if gain > 0:
            return f"{what} gained {100 * gain:.1f} points on {images} (p = {self.p:.2g})."
        chosen = "" if self.judged_on == "validation" else (
            f" Epoch {self.best} was chosen on {count(self.course.validation, 'validation image')}, which said "
            f"otherwise: the two parts differ, or it was luck. Keep the cached head."
        )  # fmt: skip
        return f"{what} lost {-100 * gain:.1f} points on {images} (p = {self.p:.2g}).{chosen}"

    def to_json(self) -> dict[str, Any]:
        """The document that `finetune --json` prints."""
        n = len(self.right_tuned)
        cached, tuned = int(self.right_cached.sum()), int(self.right_tuned.sum())
        return {
            "format": 1,
            "accuracy_cached": cached / n,
            "accuracy_tuned": tuned / n,
            "p": self.p,
            "epochs": max(0, len(self.history) - 1),
            "seconds": round(self.seconds, 3),
            "seconds_per_epoch": round(self.seconds_per_epoch, 3),
            "bundle": str(self.bundle),
            "accuracy_cached_ci": list(wilson(cached, n)),
            "accuracy_tuned_ci": list(wilson(tuned, n)),
            "images": n,
            "judged_on": self.judged_on,
            "verdict": self.verdict,
            "weights_file": None if self.weights_file is None else str(self.weights_file),
            "best_epoch": self.best,
            "stopped": self.stopped,
            "diverged": self.diverged,
            "gain_ci": list(self.gain_ci),
            "collapses": [dict(collapse) for collapse in self.collapses],
            "rate_trials": [dict(trial) for trial in self.trials],
            "preparation_seconds": round(self.preparation_seconds, 3),
            **self.details,
            "settings": dict(self.settings),
            "history": self.history,
            "notes": list(self.notes),
        }
