import numpy as np
import pytest
import torch

from classifiers.streamed.quasi_newton import feature_axes
from classifiers.streamed.streamed_path import walk_streamed
from featstore.errors import FeaturesError
from tests.classifiers.streamed.test_linear_pass import problem


def walked(grid, **options):
    made, training, *_ = problem("softmax", 4, n=400)
    axes = feature_axes(torch.from_numpy(training.sums.correlation()), 6)
    return made, walk_streamed(made, axes, grid, tol=1e-3, whole_tol=1e-5, max_steps=100, **options)


def test_an_empty_grid_is_refused():
    with pytest.raises(FeaturesError, match="an empty grid of C was given"):
        walked([])


def test_it_walks_everything_where_patience_is_0():
    made, path = walked([1e-3, 1e-1, 10.0, 1e3], patience=0, extend=0)
    assert [point.C for point in path.points] == [1e-3, 1e-1, 10.0, 1e3]
    assert all(point.relative_gap <= 1e-3 and point.converged for point in path.points)
    assert path.best.accuracy == max(point.accuracy for point in path.points)
    assert len(path.weights) == 3 and path.whole.C == path.best.C


def test_values_beyond_the_turn_are_given_up():
    grid = np.geomspace(1e-4, 1e8, 13).tolist()
    made, path = walked(grid, extend=0)
    assert len(path.points) < len(grid)
    assert made.passes <= 40


def test_a_best_value_at_the_lower_end_extends_the_grid():
    made, path = walked([1e3, 1e4], extend=2)
    assert min(point.C for point in path.points) < 1e3
