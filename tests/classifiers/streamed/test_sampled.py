import numpy as np
import pytest

from classifiers.heads.knn import KNNHead
from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.sampled import fit_sampled, shares
from classifiers.streamed.training import StreamedTraining
from featstore.errors import FeaturesError


def planted(n=600, k=3):
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(0, k, n))
    return (rng.standard_normal((n, 4)) + 4 * rng.standard_normal((k, 4))[y]).astype(np.float32), y


def test_where_all_rows_fit_it_is_the_head_in_memory():
    X, y = planted()
    training = StreamedTraining.of(ArrayRows(X), y, 3)
    head = KNNHead()
    found, rows = fit_sampled(head, training, memory=1 << 30)
    memory = KNNHead(cv=training.folds).fit(X, y)
    assert rows == 600 and np.array_equal(head.predict_proba(X), memory.predict_proba(X))
    assert np.array_equal(found.proba, memory.oof_proba_)


def test_a_sample_has_every_class_with_its_share():
    codes = np.repeat([0, 1, 2], [900, 90, 10])
    rows = shares(codes, 100, seed=0)
    assert np.bincount(codes[rows]).tolist() == [90, 9, 5]
    assert np.array_equal(rows, shares(codes, 100, seed=0)) and not np.array_equal(rows, shares(codes, 100, seed=1))


def test_too_little_memory_is_refused_with_the_sizes():
    X, y = planted()
    with pytest.raises(FeaturesError, match=r"knn looks at all images at once: 600 images of 4 features .* 15 of them"):
        fit_sampled(KNNHead(), StreamedTraining.of(ArrayRows(X), y, 3), memory=15 * 4 * 4 * 4)
