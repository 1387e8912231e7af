"""ValidationAnswers: what a network answers to every validation image, and whether another one knows less."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

STUCK = 0.98
"""Share of one answer from which all images count as answered alike: one in fifty is not called a second class."""
LOSS_LEVEL = 0.975
"""Of the one-sided t-test of the losses: the level of two standard errors, also where images are few."""


@dataclass(frozen=True, eq=False)
class ValidationAnswers:
    """Answers to the validation part, image by image, so that two networks can be compared in pairs.

    Attributes
    ----------
    right : ndarray of shape (n,), bool
    losses : ndarray of shape (n,), float64
        Cross-entropy of each image, with the label smoothing of the training: a network that was trained with smoothing
        is never as sure as the cached head is, which is no loss.
    log_loss : float
        Mean cross-entropy without smoothing.
    largest : float in [0, 1]
        Share of images that get the most frequent answer.

    Examples
    --------
    >>> y = np.arange(40) % 2
    >>> head = ValidationAnswers.of(4.0 * F.one_hot(torch.from_numpy(y), 2), y, smoothing=0.1)
    >>> collapsed = ValidationAnswers.of(torch.tensor([[1.0, 0.0]] * 40), y, smoothing=0.1)
    >>> head.accuracy, collapsed.accuracy, collapsed.stuck, collapsed.knows_less_than(head)
    (1.0, 0.5, True, True)
    """

    right: NDArray[np.bool_]
    losses: NDArray[np.float64]
    log_loss: float
    largest: float

    @classmethod
    def of(cls, logits: Tensor, y: NDArray[np.int64], smoothing: float) -> Self:
        """The answers that logits give.

        Parameters
        ----------
        logits : Tensor of shape (n, k), float32
            On the CPU.
        y : ndarray of shape (n,), int64
        smoothing : float in [0, 1)
        """
        scores, labels = logits.double(), torch.from_numpy(y)
        answers = scores.argmax(1)
        smooth = F.cross_entropy(scores, labels, label_smoothing=smoothing, reduction="none").numpy()
        largest = int(np.bincount(answers.numpy()).max()) / len(y)
        return cls((answers == labels).numpy(), smooth, float(F.cross_entropy(scores, labels)), largest)

    @property
    def accuracy(self) -> float:
        """Share of images that were right."""
        return int(self.right.sum()) / len(self.right)

    @property
    def stuck(self) -> bool:
        """Whether all images, or nearly all, get one class."""
        return self.largest >= STUCK

    def knows_more_than(self, first: ValidationAnswers) -> bool:
        """Whether more images are right by more than two standard errors of the paired difference."""
        return shown(*self._changed(first))

    def knows_less_than(self, first: ValidationAnswers) -> bool:
        """Whether this network has lost what another one knew, on the same images.

        It has where fewer images are right by more than two standard errors of the paired difference; where fewer are
        right and the losses are larger by a paired t-test, which few images can show, too; and where it gives one class
        to all images, gets no more of them right, and the other one did not.
        """
        gained, lost = self._changed(first)
        if self.stuck and not first.stuck:
            return lost >= gained
        return shown(lost, gained) or (lost > gained and larger(self.losses - first.losses))

    def _changed(self, first: ValidationAnswers) -> tuple[int, int]:
        """Images that are right here only, and there only."""
        return int((self.right & ~first.right).sum()), int((first.right & ~self.right).sum())


def shown(gained: int, lost: int) -> bool:
    """Whether more images were gained than lost by more than two standard errors of the paired difference.

    On a small validation part the best of many epochs is mostly luck.
    """
    return gained - lost > 2 * math.sqrt(gained + lost)


def larger(differences: NDArray[np.float64]) -> bool:
    """Whether the mean of paired differences is above zero by Student's t-test.

    Parameters
    ----------
    differences : ndarray of shape (n,), float64

    Examples
    --------
    >>> larger(np.array([0.4, 0.5, 0.6])), larger(np.array([-0.4, 0.5, 0.6])), larger(np.array([3.0]))
    (True, False, False)
    """
    n = len(differences)
    if n < 2:
        return False
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    return bool(differences.mean() > stats.t.ppf(LOSS_LEVEL, n - 1) * error)
