"""FineTuneResult: what a fine-tune came to: two accuracies on the same images, and whether they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    Examples
    --------
    >>> right = np.arange(100) < 80
    >>> result = FineTuneResult(
    ...     Path("pets.bundle"), None, "test", right, np.arange(100) < 95, settings={}, history=[{}, {}], best=1,
    ...     seconds=9.0, seconds_per_epoch=8.0, preparation_seconds=1.0, stopped="", details={},
    ... )
    >>> result.verdict
    'Reopening the network gained 15.0 points on 100 images (p = 6.1e-05).'
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

    @property
    def p(self) -> float:
        """Exact McNemar test of the two on the same images."""
        only_cached = int((self.right_cached & ~self.right_tuned).sum())
        only_tuned = int((self.right_tuned & ~self.right_cached).sum())
        return mcnemar_exact(only_cached, only_tuned)

    @property
    def verdict(self) -> str:
        """One sentence."""
        gain = float(self.right_tuned.mean() - self.right_cached.mean())
        n = len(self.right_tuned)
        if self.best == 0:
            return (
                "No epoch was better than the cached head on the validation part by more than two standard errors, so "
                "the bundle holds the cached head (`keep_any=True` keeps the best epoch all the same)."
            )
        if self.p >= SIGNIFICANT:
            return (
                f"No difference shown: {100 * gain:+.1f} points on {n} images (p = {self.p:.2g}); the cached head is "
                f"enough here."
            )
        better = "gained" if gain > 0 else "lost"
        return f"Reopening the network {better} {100 * abs(gain):.1f} points on {n} images (p = {self.p:.2g})."

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
            "preparation_seconds": round(self.preparation_seconds, 3),
            **self.details,
            "settings": dict(self.settings),
            "history": self.history,
            "notes": list(self.notes),
        }
