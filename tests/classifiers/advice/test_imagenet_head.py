import numpy as np
import pytest

from classifiers.advice.imagenet_head import ImageNetHead
from classifiers.validation.splits import stratified_folds


def logits(y, told, scale=1.0):
    """Rows that see ImageNet class 10 * label where they are told what they are, and something random elsewhere."""
    rng = np.random.default_rng(0)
    seen = np.where(rng.random(len(y)) < told, 10 * y, rng.integers(500, 1000, len(y)))
    out = rng.normal(size=(len(y), 1000))
    out[np.arange(len(y)), seen] += 8
    return (scale * out).astype(np.float32)


def test_classes_that_imagenet_knows_are_told_apart_and_others_are_not():
    y = np.arange(200) % 4
    folds = stratified_folds(y, 5, 0)
    assert ImageNetHead(logits(y, 1.0)).accuracy(y, folds) > 0.95
    assert ImageNetHead(logits(y, 0.0)).accuracy(y, folds) < 0.45
    assert 0.55 < ImageNetHead(logits(y, 0.6)).accuracy(y, folds) < 0.85


def test_how_sure_a_network_is_does_not_matter_to_what_it_knows():
    y = np.arange(200) % 4
    folds = stratified_folds(y, 5, 0)
    calm, loud = ImageNetHead(logits(y, 0.6)), ImageNetHead(logits(y, 0.6, scale=3.0))
    assert loud.accuracy(y, folds) == pytest.approx(calm.accuracy(y, folds))
    assert loud.confidence > calm.confidence + 0.1


def test_confidence_is_the_mean_probability_of_the_winner():
    rows = np.log(np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], dtype=np.float32))
    assert ImageNetHead(rows).confidence == pytest.approx(0.6)
    assert ImageNetHead(None, "no head").confidence is None
    assert ImageNetHead(None).accuracy(np.zeros(2, dtype=np.int64), []) is None
