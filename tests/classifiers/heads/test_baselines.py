import dataclasses
import hashlib
import time

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.comparison.job import compare
from classifiers.heads.baselines import SIDE, MajorityHead, PixelsHead, pixels
from tests.support.feature_sets import feature_set

WEIGHTS = "the temperature of the probabilities counts every held-out row alike"


@parametrize_with_checks(
    [MajorityHead(), PixelsHead()],
    expected_failed_checks=lambda head: (
        {"check_sample_weight_equivalence_on_dense_data": WEIGHTS} if isinstance(head, PixelsHead) else {}
    ),
)
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_the_majority_is_scikit_learns_prior():
    X, y = np.zeros((30, 2)), np.r_[np.zeros(6), np.ones(20), np.full(4, 2)]
    head, theirs = MajorityHead().fit(X, y), DummyClassifier(strategy="prior").fit(X, y)
    np.testing.assert_allclose(head.predict_proba(X), theirs.predict_proba(X))
    np.testing.assert_array_equal(head.predict(X), theirs.predict(X))
    restored = MajorityHead.from_state(*head.get_state())
    np.testing.assert_array_equal(restored.predict_proba(X), head.predict_proba(X))


@pytest.fixture
def painted(tmp_path):
    """120 pictures of two classes that differ in colour."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    ids, digests = [], []
    for i, c in enumerate(y):
        colour = np.array([150, 90, 60]) if c else np.array([60, 90, 150])
        picture = np.clip(colour + 40 * rng.normal(size=(30, 40, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        ids.append(f"{i}.png")
        digests.append(np.frombuffer(hashlib.sha256((tmp_path / f"{i}.png").read_bytes()).digest(), np.uint8))
    splits = np.where(np.arange(120) < 60, "test", "train")
    noise = rng.normal(size=(120, 8))
    features = feature_set(noise, y, splits=splits, ids=ids, digests=np.stack(digests))
    return dataclasses.replace(features, root=str(tmp_path).encode())


def test_pixels_are_small_pictures_of_the_files(painted, tmp_path):
    X = pixels(painted)
    assert X.shape == (120, SIDE * SIDE * 3) and X.dtype == np.float32
    assert X.min() >= 0 and X.max() <= 1
    expected = np.asarray(Image.open(tmp_path / "7.png").convert("RGB"), dtype=np.float64).mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(X[7].reshape(-1, 3).mean(axis=0), expected, atol=0.03)


def test_where_raw_pixels_are_enough_the_report_says_so(painted):
    data = compare(painted, ("centroid",), budget="quick", folds=3).data
    runs = {run["head"]: run for run in data["runs"]}
    assert runs["pixels"]["accuracy"] > 0.95 > runs["centroid"]["accuracy"]
    assert runs["pixels"]["reference"] and runs["pixels"]["dim"] == 768
    assert data["best"] == "centroid"


def test_files_that_are_gone_are_a_reason(painted, tmp_path):
    (tmp_path / "33.png").unlink()
    reason = pixels(painted)
    assert isinstance(reason, str) and "33.png" in reason and "is not where it was" in reason


def test_files_that_changed_are_a_reason(painted, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "33.png")
    reason = pixels(painted)
    assert isinstance(reason, str) and reason.startswith("33.png")


@pytest.mark.parametrize("rows", [40, 300])
def test_pixels_are_classified_by_scikit_learns_ridge_regression(rows):
    X, y = load_digits(return_X_y=True)
    head = PixelsHead(cv=3).fit(X[:rows], y[:rows])
    scaler = StandardScaler().fit(X[:rows].astype(np.float32))
    target = np.eye(10)[y[:rows]]
    theirs = Ridge(alpha=rows * head.best_params_["penalty"]).fit(scaler.transform(X[:rows]), target)
    expected = theirs.predict(scaler.transform(X[1000:1200]))
    found = np.log(head.predict_proba(X[1000:1200])) * head._temperature
    difference = found - found.mean(axis=1, keepdims=True) - expected + expected.mean(axis=1, keepdims=True)
    assert np.abs(difference).max() < 1e-3
    again = PixelsHead.from_state(*head.get_state())
    np.testing.assert_array_equal(again.predict_proba(X[1000:1200]), head.predict_proba(X[1000:1200]))


def test_a_thousand_classes_of_four_images_take_seconds():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(1000), 4)
    X = (rng.random((1000, 768))[y] + 0.5 * rng.normal(size=(4000, 768))).astype(np.float32)
    began = time.process_time()
    head = PixelsHead(budget="quick", cv=3).fit(X, y)
    assert time.process_time() - began < 60  # softmax regression took minutes
    assert (head.oof_proba_.argmax(axis=1) == y).mean() > 0.9
