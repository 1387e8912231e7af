"""CollapseWatch: when to look at the validation, and whether a network that lost what it knew is coming back."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from scipy import stats

BATCHES = 8
"""Whose losses make a mean with a standard error."""
PATIENCE = 64
"""Steps before the first look within an epoch: the first steps of an adaptive optimiser unsettle good runs, too, and
these come back within as many. Epochs that are shorter are looked at when they end."""
LEVEL = 0.975
"""Of the one-sided test: the level of two standard errors. It only asks for a look; the validation decides."""
HALVINGS = 6
"""Of the rates. What still collapses at a sixty-fourth of them does so for another reason."""


@dataclass
class CollapseWatch:
    """Compares the loss of the last batches with what the starting network's was, and a look with those before it.

    All of it is plain numbers, so that a resumed run looks at the same steps.

    Attributes
    ----------
    reference : list of float
        Loss of the starting network on the first batches of the training, with their augmentation and smoothing.
    recent : list of float
        Loss of the last `BATCHES` steps.
    wait : int
        Steps until the next look, at the earliest.
    pause : int
        Steps that it waits after a look; twice as many every time, so that looks stay cheap.
    most_right : int
        Validation images that were right at the best of the looks that found less knowledge than at the start.

    Examples
    --------
    >>> watch = CollapseWatch(reference=[0.5, 0.6, 0.4, 0.5, 0.6, 0.4, 0.5, 0.6])
    >>> any([watch.asks(loss) for loss in [0.6, 0.5, 0.4] * 40]), any([watch.asks(3.8) for _ in range(8)])
    (False, True)
    >>> [watch.comes_back(right) for right in (30, 45, 44)]
    [True, True, False]
    """

    reference: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    wait: int = PATIENCE
    pause: int = PATIENCE
    most_right: int = -1

    def asks(self, loss: float) -> bool:
        """Take the loss of a step; whether the last ones are larger than the reference by Welch's t-test."""
        self.recent = [*self.recent, loss][-BATCHES:]
        self.wait = max(0, self.wait - 1)
        if self.wait or len(self.recent) < BATCHES or len(self.reference) < BATCHES:
            return False
        if not _larger(self.recent, self.reference):
            return False
        self.wait, self.pause = self.pause, 2 * self.pause
        return True

    def comes_back(self, right: int) -> bool:
        """Take how many validation images are right at a look that found a loss; whether none before had as many.

        Large rates unsettle a network at first, also where it ends far above the cached head; it gets better with every
        epoch then. One that has collapsed does not.
        """
        before, self.most_right = self.most_right, max(self.most_right, right)
        return right > before

    def begin_again(self) -> None:
        """Forget the steps and looks, not the reference."""
        self.recent, self.wait, self.pause, self.most_right = [], PATIENCE, PATIENCE, -1


def _larger(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the mean of `a` is above that of `b` by Welch's t-test."""
    (mean_a, spread_a), (mean_b, spread_b) = ((statistics.fmean(x), statistics.stdev(x)) for x in (a, b))
    if spread_a == spread_b == 0:
        return mean_a > mean_b
    p = stats.ttest_ind_from_stats(
        mean_a, spread_a, len(a), mean_b, spread_b, len(b), equal_var=False, alternative="greater"
    ).pvalue
    return bool(p < 1 - LEVEL)
