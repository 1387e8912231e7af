import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from classifiers.heads import mlp
from classifiers.heads.mlp import MLPHead


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:500].astype(np.float32), y[:500], X[500:900].astype(np.float32), y[500:900]


@pytest.fixture(scope="module")
def head(digits):
    X, y, _, _ = digits
    return MLPHead(budget="quick", cv=3, seed=1).fit(X, y)


def test_it_learns_digits_and_says_how_it_went(head, digits):
    _, _, V, w = digits
    assert (head.predict(V) == w).mean() > 0.82
    assert head.oof_proba_.shape == (500, 10)
    assert np.allclose(head.oof_proba_.sum(axis=1), 1, atol=1e-5)
    assert {"late_gain", "tol"} <= set(head.certificate_)
    assert head.best_params_["epochs"] >= 1


def test_the_same_seed_gives_the_same_bits_and_no_global_seed_is_touched(head, digits):
    X, y, V, _ = digits
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = MLPHead(budget="quick", cv=3, seed=1).fit(X, y)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(again.predict_proba(V), head.predict_proba(V))


def test_the_torch_module_gives_the_same_probabilities(head, digits):
    V = digits[2]
    with torch.inference_mode():
        proba = torch.softmax(head.to_torch()(torch.from_numpy(V)).double(), dim=1).numpy()
    assert np.abs(proba - head.predict_proba(V)).max() < 1e-6


def test_a_saved_head_predicts_the_same_bits(head, digits):
    V = digits[2]
    meta, arrays = head.get_state()
    assert np.array_equal(MLPHead.from_state(meta, arrays).predict_proba(V), head.predict_proba(V))


@pytest.mark.parametrize(("images", "members"), [(1900, 4), (2200, 1)])
def test_folds_are_judged_with_as_many_networks_as_the_fit_has(monkeypatch, images, members):
    seen = []
    train = mlp.train_together

    def watched(rows, *args, **settings):
        seen.append(len(rows))
        return train(rows, *args, **settings)

    monkeypatch.setattr(mlp, "train_together", watched)
    monkeypatch.setattr(mlp, "MOST_EPOCHS", {"quick": 1})
    monkeypatch.setattr(mlp, "STEPS", 1)
    X = np.random.default_rng(0).normal(size=(images, 3)).astype(np.float32)
    head = MLPHead(budget="quick", cv=3).fit(X, np.arange(images) % 2)
    # A fold of 2200 images has fewer than 2000, the last fit has not.
    assert seen == [3 * members, members]
    assert head.to_torch()[0].out_features == 256 * members


def test_wide_features_are_rotated_without_harm():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    X = rng.normal(size=(180, 600)).astype(np.float32)
    X[:, :5] += 2.0 * rng.normal(size=(3, 5)).astype(np.float32)[y]
    head = MLPHead(budget="quick", cv=3).fit(X, y)
    assert head.to_torch()[0].in_features == 600
    assert (head.oof_proba_.argmax(axis=1) == y).mean() > 0.6


@pytest.mark.parametrize("each", [1, 2, 3])
def test_few_images_that_are_told_apart_without_any_loss(each):
    y = np.repeat([0, 1], each)
    X = (100.0 * y[:, None] + np.random.default_rng(0).normal(size=(2 * each, 1280))).astype(np.float32)
    folds = [(np.flatnonzero(np.arange(2 * each) % each != i), np.flatnonzero(np.arange(2 * each) % each == i))
             for i in range(each)] if each > 1 else None  # fmt: skip
    head = MLPHead(budget="quick", cv=folds).fit(X, y)
    assert (head.predict(X) == y).all() and head.converged_ and head.certificate_["late_gain"] == 0
