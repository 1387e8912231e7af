"""What is said where a fit ended before it was done: by the command and the report, not by the solver."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_GROWN = ("mlp", "lightgbm")  # trained step by step, and longer by budget


def unconverged_text(head: str, budget: str) -> str:
    """One sentence about a head that did not converge, and what can be done.

    Parameters
    ----------
    head : str
        Name in `HEADS`.
    budget : str
        That it was searched with.

    Examples
    --------
    >>> unconverged_text("mlp", "quick")
    'mlp was still improving when its training ended, so its figures may be too low; `budget="thorough"` trains longer.'
    >>> unconverged_text("svm", "quick")
    'svm was not solved as precisely as it should be, so its figures may be too low; compare it with other heads, or \
take features of another node.'
    """
    if head in _GROWN:
        said = f"{head} was still improving when its training ended, so its figures may be too low"
        return f'{said}; `budget="thorough"` trains longer.' if budget != "thorough" else f"{said}."
    return (
        f"{head} was not solved as precisely as it should be, so its figures may be too low; compare it with other "
        "heads, or take features of another node."
    )


@contextmanager
def convergence_kept_quiet() -> Iterator[None]:
    """Fits inside warn nobody: who calls reads `converged_` and says it in `unconverged_text`.

    Examples
    --------
    >>> from sklearn.exceptions import ConvergenceWarning
    >>> with convergence_kept_quiet():
    ...     warnings.warn("stopped at C=1e+10", ConvergenceWarning, stacklevel=1)
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
