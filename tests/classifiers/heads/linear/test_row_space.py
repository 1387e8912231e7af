import numpy as np
import pytest
import torch

from classifiers.heads.linear.fold_matrix import FoldMatrix
from classifiers.heads.linear.row_space import RowSpace


@pytest.fixture(params=[True, False])
def spaces(request):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 90))
    X[5] = X[6]  # identical images
    weights = np.ones((2, 20))
    weights[0, 15:] = 0
    weights[1, :3] = 0
    full = FoldMatrix(X, weights, standardise=True, centre=True, double=request.param)
    return full, RowSpace(full, weights), weights


def test_inner_products_and_norms_are_kept(spaces):
    full, space, weights = spaces
    assert space.d == 17
    for fold in range(2):
        everything = torch.arange(20)
        train = torch.from_numpy(np.flatnonzero(weights[fold]))
        wide, narrow = full.seen(fold, everything), space.seen(fold, everything)
        np.testing.assert_allclose(narrow @ narrow[train].T, wide @ wide[train].T, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(space.kernel(fold, train), full.kernel(fold, train), rtol=1e-4, atol=1e-3)


def test_weights_of_the_space_give_the_same_logits_and_penalty_at_full_width(spaces):
    full, space, _ = spaces
    fold = torch.tensor([0, 1])
    bias = torch.randn(2, 3, dtype=full.dtype)
    dual = torch.randn(2, 3, 20, dtype=full.dtype)
    dual[0, :, 15:] = 0
    dual[1, :, :3] = 0
    weight, _ = space.backward(dual, fold)
    logits = space.forward(weight, bias, fold)
    for f in range(2):
        wide = space.widen(weight[f : f + 1], f)
        np.testing.assert_allclose(
            full.forward(wide, bias[f : f + 1].double(), fold[f : f + 1]), logits[f : f + 1], rtol=1e-3, atol=5e-3
        )
        np.testing.assert_allclose(wide.square().sum(), weight[f].square().sum(), rtol=1e-4)
        np.testing.assert_allclose(wide, full.backward(dual[f : f + 1], fold[f : f + 1])[0], rtol=1e-3, atol=5e-3)


@pytest.mark.parametrize("fold", [[0, 0, 0], [1, 0], [0, 1, 1, 0]])
def test_groups_may_come_in_any_order(spaces, fold):
    _, space, _ = spaces
    fold = torch.tensor(fold)
    weight, bias = torch.randn(len(fold), 1, 17, dtype=space.dtype), torch.randn(len(fold), 1, dtype=space.dtype)
    together = space.forward(weight, bias, fold)
    back, _ = space.backward(together, fold)
    for i in range(len(fold)):
        alone = space.forward(weight[i : i + 1], bias[i : i + 1], fold[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(back[i], space.backward(alone, fold[i : i + 1])[0][0], rtol=1e-4, atol=1e-3)
