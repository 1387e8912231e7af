"""A fit that ended too early is told in words, once."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from classifiers.heads.base.convergence import convergence_kept_quiet, unconverged_text
from classifiers.heads.linear.estimators import SoftmaxRegressionCV
from classifiers.heads.registry import candidates


@pytest.mark.parametrize("head", candidates())
def test_no_sentence_speaks_of_solvers(head):
    said = unconverged_text(head, "normal")
    assert said.startswith(f"{head} was ") and said.endswith(".")
    assert not any(word in said for word in ("gap", "Newton", "max_iter", "tol"))


def test_what_was_thorough_already_is_not_advised():
    assert "budget" in unconverged_text("lightgbm", "quick")
    assert "budget" not in unconverged_text("lightgbm", "thorough")


def test_the_warning_of_a_solver_is_silent_inside_only():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 4
    X = rng.normal(size=(4, 40))[y] + 2 * rng.normal(size=(300, 40))
    head = SoftmaxRegressionCV(Cs=[1.0, 10.0], max_iter=1)
    with warnings.catch_warnings(), convergence_kept_quiet():
        assert not head.fit(X, y).converged_
    with pytest.warns(ConvergenceWarning):
        head.fit(X, y)
