import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from classifiers.heads.linear import fold_matrix
from classifiers.heads.linear.fold_matrix import FoldMatrix
from featstore.errors import FeaturesError


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((40, 6)) * np.geomspace(0.01, 100, 6) + 30).astype(np.float32)
    weights = rng.uniform(0.5, 2, (3, 40)) * (rng.random((3, 40)) > 0.3)
    return X, weights


def seen_by(X, weight, standardise, centre):
    if standardise:
        return StandardScaler().fit(X.astype(np.float64), sample_weight=weight).transform(X.astype(np.float64))
    return X - (weight @ X / weight.sum() if centre else 0)


MODES = [(True, True), (False, True), (False, False)]


@pytest.mark.parametrize(("standardise", "centre"), MODES)
@pytest.mark.parametrize("double", [True, False])
def test_products_are_those_of_each_folds_own_standardised_copy(data, standardise, centre, double, monkeypatch):
    monkeypatch.setattr(fold_matrix, "CHUNK", 16)
    X, weights = data
    matrix = FoldMatrix(X, weights, standardise=standardise, centre=centre, double=double)
    rng = np.random.default_rng(1)
    fold = torch.tensor([0, 2, 2])
    W, b, R = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((3, 2, 6), (3, 2), (3, 2, 40)))
    tolerance = {"rtol": 1e-4, "atol": 2e-3 if not standardise else 1e-4}
    forward, (back_w, back_b) = matrix.forward(W, b, fold), matrix.backward(R, fold)
    for group, f in enumerate(fold.tolist()):
        Z = seen_by(X, weights[f], standardise, centre)
        np.testing.assert_allclose(forward[group], W[group].numpy() @ Z.T + b[group].numpy()[:, None], **tolerance)
        np.testing.assert_allclose(back_w[group], R[group].numpy() @ Z, **tolerance)
        np.testing.assert_allclose(back_b[group], R[group].sum(dim=-1))
        np.testing.assert_allclose(matrix.seen(f, torch.arange(40)), Z, **tolerance)
        np.testing.assert_allclose(matrix.columns(f, torch.tensor([1, 4])), Z[:, [1, 4]], **tolerance)
        index = torch.tensor([3, 17])
        np.testing.assert_allclose(matrix.kernel(f, index), Z[[3, 17]] @ Z[[3, 17]].T + 1, rtol=1e-3, atol=2e-3)
        coef, intercept = matrix.unfold(W[group], b[group], f)
        np.testing.assert_allclose(X.astype(np.float64) @ coef.T + intercept, forward[group].T, rtol=1e-4, atol=2e-3)


def test_products_in_bfloat16_are_near(data):
    X, weights = data
    matrix = FoldMatrix(X, weights, standardise=True, centre=True, double=False)
    W, b, fold = torch.randn(3, 4, 6), torch.randn(3, 4), torch.arange(3)
    exact, rough = matrix.forward(W, b, fold), matrix.forward(W, b, fold, half=True)
    assert rough.dtype == torch.float32
    assert float((rough - exact).norm() / exact.norm()) < 0.01
    exact, rough = matrix.backward(exact, fold)[0], matrix.backward(exact, fold, half=True)[0]
    assert float((rough - exact).norm() / exact.norm()) < 0.01


def test_features_that_are_constant_in_a_fold_are_not_seen_there():
    X = np.ones((8, 2), dtype=np.float32)
    X[6:, 0] = 5.0
    X[:, 1] = np.arange(8)
    weights = np.ones((1, 8))
    weights[0, 6:] = 0
    matrix = FoldMatrix(X, weights, standardise=True, centre=True, double=False)
    assert torch.all(matrix.seen(0, torch.arange(8))[:, 0] == 0)


@pytest.mark.parametrize("value", [0.0, 0.3, -7.1])
@pytest.mark.parametrize("double", [True, False])
def test_a_feature_that_only_held_out_rows_vary_in_is_exactly_unseen(value, double):
    """As a channel behind a ReLU that one image wakes; rounding left of its variance would blow that image up."""
    X = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    X[:, 0] = value
    X[290, 0] = value + 20
    weights = np.ones((2, 300))
    weights[0, 280:] = 0
    matrix = FoldMatrix(X, weights, standardise=True, centre=True, double=double)
    assert torch.all(matrix.seen(0, torch.arange(300))[:, 0] == 0)
    logits = matrix.forward(torch.ones(1, 1, 3), torch.zeros(1, 1), torch.tensor([0]))
    assert float(logits.abs().max()) < 20
    assert float(matrix.seen(1, torch.tensor([290]))[0, 0]) == pytest.approx(np.sqrt(299), rel=1e-3)


def test_features_too_large_to_square_are_refused():
    X = np.full((4, 3), 1e200)
    X[0] = -1e200
    with pytest.raises(FeaturesError, match="3 of 3 features are NaN, infinite or too large to square"):
        FoldMatrix(X, np.ones((1, 4)), standardise=True, centre=True, double=True)
