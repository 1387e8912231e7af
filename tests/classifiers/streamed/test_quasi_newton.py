import numpy as np
import pytest
import torch

from classifiers.streamed.linear_pass import Asked
from classifiers.streamed.quasi_newton import Descent, feature_axes
from tests.classifiers.streamed.test_linear_pass import problem


@pytest.mark.parametrize(("loss", "k"), [("softmax", 4), ("softmax", 2), ("svm", 4)])
@pytest.mark.parametrize("axes", [True, False])
def test_it_ends_at_a_gap_that_bounds_what_is_left(loss, k, axes):
    made, training, *_ = problem(loss, k)
    found = feature_axes(torch.from_numpy(training.sums.correlation()) if axes else None, 6)
    descent = Descent(3, 2.0, torch.zeros(made.shape, dtype=torch.float64), found, made.bias_penalty)
    objectives, gaps = [], []
    for _ in range(80):
        descent.take(made.look([Asked(3, descent.trial)], dtype=torch.float64)[0], tol=1e-10)
        objectives.append(float(descent.objective.sum()))
        gaps.append(float(descent.gap.sum()))
        if descent.done(1e-10):
            break
    assert descent.done(1e-10) and not descent.stuck.any()
    assert all(later <= earlier for earlier, later in zip(objectives, objectives[1:], strict=False))
    assert all(objectives[-1] >= value - gap - 1e-9 * value for value, gap in zip(objectives, gaps, strict=True))


def test_pairs_of_a_neighbour_save_passes():
    made, training, *_ = problem("softmax", 4)
    axes = feature_axes(torch.from_numpy(training.sums.correlation()), 6)

    def passes(C, weight, pairs):
        descent = Descent(3, C, weight, axes, 0.0, pairs)
        while not descent.done(1e-9):
            descent.take(made.look([Asked(3, descent.trial)], dtype=torch.float64)[0], tol=1e-9)
        return descent

    first = passes(1.0, torch.zeros(made.shape, dtype=torch.float64), None)
    assert passes(2.0, first.weight, first.pairs).steps <= passes(2.0, first.weight, None).steps


def test_no_axes_are_the_features_themselves():
    assert feature_axes(None, 3).axes is None
    assert np.allclose(feature_axes(torch.eye(2, dtype=torch.float64), 2).variance, 1.0)
