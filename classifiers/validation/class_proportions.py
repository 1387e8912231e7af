"""ClassProportions: whether two parts of a data set show their classes in the same proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import percent

SURE = 0.01
"""p-value below which a difference is taken for real."""

APART = 0.1
"""Share of the images, from which a real difference counts."""

DRAWS = 299


@dataclass(frozen=True)
class ClassProportions:
    """A test of two parts for the same proportions of classes.

    Attributes
    ----------
    p : float or None
        Of the hypothesis that they are the same; None where they are unknown.
    differ : bool
        They are shown to differ: `p` is below 0.01, and at least a tenth of the images would have to be of another
        class for them to agree.
    text : str
        One sentence; empty where the proportions are unknown.
    """

    p: float | None = None
    differ: bool = False
    text: str = ""

    @classmethod
    def compare(
        cls,
        classes: NDArray[np.intp],
        part: NDArray[np.bool_],
        *,
        sources: NDArray[np.intp],
        rng: np.random.Generator,
        what: str = "test",
    ) -> ClassProportions:
        """Compare by Pearson's statistic, with draws from both parts together in place of its asymptotic law.

        Parameters
        ----------
        classes : ndarray of shape (n,), int
            From 0.
        part : ndarray of shape (n,), bool
            True for images of the other part, False for training images.
        sources : ndarray of shape (n,), int
            A source counts once in each of its classes.
        rng : numpy Generator
        what : str
            What the other part is called.

        Examples
        --------
        >>> rng, part = np.random.default_rng(0), np.arange(200) >= 100
        >>> classes = np.where(part, np.arange(200) % 10 == 0, np.arange(200) % 2 == 0).astype(np.intp)
        >>> found = ClassProportions.compare(classes, part, sources=np.arange(200), rng=rng)
        >>> found.differ, "40 %" in found.text
        (True, True)
        """
        if not part.any() or part.all():
            return cls()
        _, first = np.unique(np.column_stack([sources, part, classes]), axis=0, return_index=True)
        total, ones = np.bincount(classes[first]), np.bincount(classes[first][part[first]], minlength=classes.max() + 1)
        drawn = np.vstack([ones, rng.multivariate_hypergeometric(total, int(ones.sum()), size=DRAWS)])
        expected = total * ones.sum() / total.sum()
        chi2 = ((drawn - expected) ** 2 / np.maximum(expected, 1e-9)).sum(axis=1)
        p = float((chi2 >= chi2[0] - 1e-9).mean())
        shares = [np.bincount(classes[side], minlength=len(total)) / side.sum() for side in (part, ~part)]
        apart = float(np.abs(shares[0] - shares[1]).sum() / 2)
        differ = p < SURE and apart >= APART
        text = (
            f"The {what} images have other proportions of classes than the training images: {percent(apart, 0)} % of "
            "them would have to be of another class for the proportions to agree."
            if differ
            else f"The {what} and the training images are not shown to have other proportions of classes."
        )
        return cls(p, differ, text)
