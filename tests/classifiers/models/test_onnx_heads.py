"""Heads without gradients as plain operations give the head's own probabilities."""

import numpy as np
import pytest
import torch

from classifiers.heads.registry import make_head
from classifiers.models import onnx_heads
from classifiers.models.onnx_heads import NeighbourVotes, PairVotes, check_size
from featstore.errors import FeatstoreError
from tests.support.head_checks import digits


def fitted(name, classes):
    X, y = digits(200, classes)
    return make_head(name, seed=0, budget="quick", cv=3, class_weight="balanced").fit(X, y), X


def answers(module, X):
    with torch.no_grad():
        return torch.softmax(module(torch.from_numpy(np.asarray(X, dtype=np.float32))).double(), 1).numpy()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_vote_as_in_the_head(classes, metric):
    head, X = fitted("knn", classes)
    head.best_params_ = {**head.best_params_, "metric": metric, "n_neighbors": 7}
    new = X + np.random.default_rng(1).normal(size=X.shape)
    found = answers(NeighbourVotes(*head.get_state()), new)
    expected = head.predict_proba(new)
    apart = np.abs(found - expected).max(axis=1)
    assert (apart > 1e-4).sum() <= 1 and np.median(apart) < 1e-6


@pytest.mark.parametrize("classes", [2, 5])
def test_pairs_vote_as_in_the_head(classes):
    head, X = fitted("svm-rbf", classes)
    new = X + np.random.default_rng(1).normal(size=X.shape)
    apart = np.abs(answers(PairVotes(*head.get_state()), new) - head.predict_proba(new)).max(axis=1)
    assert (apart > 1e-4).sum() <= 1 and np.median(apart) < 1e-5


def test_what_does_not_fit_into_a_file_is_refused_with_its_size(monkeypatch):
    with pytest.raises(FeatstoreError, match=r"'knn' is too large .* training images take 2\.0 GiB, at most 1 GiB"):
        check_size("knn", 2 << 30, "training images")
    head, _ = fitted("svm-rbf", 3)
    monkeypatch.setattr(onnx_heads, "LARGEST", 100)
    with pytest.raises(FeatstoreError, match="coefficients of 3 pairs of classes"):
        PairVotes(*head.get_state())
