"""Saved heads from their numbers alone: the same bits as the estimators, with nothing heavy loaded."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from classifiers.heads.registry import HEADS, make_head
from classifiers.models import bundle as bundles
from classifiers.models.applied_head import APPLIED, AppliedHead
from classifiers.models.bundle import load_bundle, save_bundle
from classifiers.models.tensor_file import read, write
from featstore.errors import BundleError
from tests.support.store_inputs import fingerprint

ROWS = 5000
"""More than are held in float64 at a time."""


def planted(classes, n=120, d=7, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return (rng.normal(size=(n, d)) + 3 * np.eye(classes, d)[y]).astype(np.float32), y


def saved(name, classes, folder, labels=None):
    X, y = planted(classes)
    head = make_head(name, budget="quick", cv=2).fit(X, y if labels is None else np.asarray(labels)[y])
    save_bundle(folder / "b", head, fingerprint(), {}, [f"class {i}" for i in range(classes)], name=name)
    return head


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", APPLIED)
def test_bits_are_the_estimators(tmp_path, name, classes):
    head = saved(name, classes, tmp_path)
    X = np.random.default_rng(1).normal(size=(ROWS, 7)).astype(np.float32) * 3
    opened = load_bundle(tmp_path / "b", for_predictions=True)
    assert isinstance(opened.head, AppliedHead) and opened.width == 7
    for rows in (X, X[:1], X[:3]):
        assert np.array_equal(opened.head.predict_proba(rows), head.predict_proba(rows))
    module = head.to_torch()
    with torch.inference_mode():
        expected = torch.softmax(module(torch.from_numpy(X)).double(), dim=1).numpy()
    np.testing.assert_allclose(opened.predict_proba(X), expected, atol=1e-5)
    assert np.array_equal(opened.predict_proba(X), load_bundle(tmp_path / "b").predict_proba(X))
    assert np.array_equal(opened.predict(X), load_bundle(tmp_path / "b").predict(X))


def test_every_head_that_is_a_layer_or_two_is_here():
    assert set(APPLIED) == {name for name, info in HEADS.items() if info.differentiable}


def test_other_heads_are_their_estimators(tmp_path):
    head = saved("knn", 3, tmp_path)
    opened = load_bundle(tmp_path / "b", for_predictions=True)
    assert type(opened.head) is type(head)
    X, _ = planted(3, seed=2)
    assert np.array_equal(opened.predict_proba(X), head.predict_proba(X))


def test_classes_keep_their_kind(tmp_path):
    saved("logistic", 2, tmp_path, labels=["ants", "bees"])
    opened = load_bundle(tmp_path / "b", for_predictions=True)
    assert opened.classes == ("ants", "bees") and opened.head.classes_.tolist() == ["ants", "bees"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document, arrays: arrays.pop("intercept"),
        lambda document, arrays: arrays.update(coef=arrays["coef"][0]),
        lambda document, arrays: arrays.update(intercept=arrays["intercept"][:1]),
        lambda document, arrays: arrays.update(coef=np.full_like(arrays["coef"], np.nan)),
        lambda document, arrays: document["head"]["meta"].pop("slope"),
        lambda document, arrays: document["head"]["meta"].update(classes=[0, 1]),
        lambda document, arrays: document["head"]["meta"].update(classes_dtype="no dtype"),
    ],
)
def test_parts_that_do_not_fit_are_refused_as_ever(tmp_path, spoil):
    saved("logistic", 3, tmp_path)
    document, arrays = read(tmp_path / "b", bundles.FORMAT)
    arrays = {key: np.array(array) for key, array in arrays.items()}
    spoil(document, arrays)
    write(tmp_path / "c", bundles.FORMAT, document, arrays)
    with pytest.raises(BundleError, match=f"^{tmp_path / 'c'} (has|holds) a "):
        load_bundle(tmp_path / "c", for_predictions=True)


@pytest.mark.parametrize("name", APPLIED)
def test_nothing_heavy_is_loaded(tmp_path, name):
    saved(name, 3, tmp_path)
    program = (
        "import sys, numpy; from classifiers.models.bundle import load_bundle\n"
        f"found = load_bundle({str(tmp_path / 'b')!r}, for_predictions=True).predict(numpy.zeros((2, 7)))\n"
        "heavy = {'sklearn', 'scipy', 'torch', 'lightgbm'} & set(sys.modules)\n"
        "assert len(found) == 2 and not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
