import json

import numpy as np
import pytest
import torch

from classifiers.heads.base.head import Head, linear_layer
from classifiers.heads.registry import HEADS, make_head
from featstore.errors import NoGradientError

COMMON = {"classes", "classes_dtype", "best_params", "converged", "certificate"}


@pytest.mark.parametrize("name", ["logistic", "centroid"])
def test_both_families_keep_what_all_heads_have_under_the_same_names(name):
    X, y = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), np.array(["a", "b", "c"] * 10)
    head = make_head(name, budget="quick", cv=3).fit(X + np.arange(30)[:, None] % 3, y)
    assert isinstance(head, Head)
    meta, arrays = head.get_state()
    assert set(meta) >= COMMON and meta["classes"] == ["a", "b", "c"]
    again = type(head).from_state(json.loads(json.dumps(meta)), arrays)
    assert again.best_params_ == head.best_params_ and again.cv_results_ == [] and again.oof_proba_ is None
    np.testing.assert_array_equal(again.predict_proba(X), head.predict_proba(X))


@pytest.mark.parametrize("name", HEADS)
def test_one_seed_reaches_every_head_under_its_own_name_and_heads_know_theirs(name):
    head = make_head(name, seed=7)
    assert head.get_params()[head.seed_parameter] == 7
    assert head.head_name == name


@pytest.mark.parametrize("name", HEADS)
def test_what_is_said_of_gradients_is_true(name):
    overridden = type(make_head(name)).to_torch is not Head.to_torch
    assert overridden == HEADS[name].differentiable
    if not overridden:
        with pytest.raises(NoGradientError, match=f"'{name}' has no gradients; .*, for instance logistic"):
            make_head(name).to_torch()


def test_a_layer_is_the_affine_map_that_it_is_given():
    weight, bias = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]), np.array([0.0, 1.0, -1.0])
    X = np.array([[1.0, 1.0], [2.0, 0.0]], dtype=np.float32)
    layer = linear_layer(weight, bias)
    np.testing.assert_allclose(layer(torch.from_numpy(X)).detach().numpy(), X @ weight.T + bias)
