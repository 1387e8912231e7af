"""What a fine-tune begins with: parts, sources, head."""

import dataclasses
import re

import numpy as np
import pytest

from classifiers.training.starting_point import CachedHead, linear_head, starting_point
from featstore.errors import FeaturesError, UnknownNameError
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint

FINGERPRINT = Fingerprint("resnet18", "ab" * 32, "avgpool", "avg", {}, {}, "fp32", "none")


def features(rows=120, splits=None, ids=None):
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    splits = np.array(["train", "train", "train", "test"] * (rows // 4)) if splits is None else np.array(splits)
    return FeatureSet(
        X=(rng.normal(size=(3, 8))[y] * 3 + rng.normal(size=(rows, 8))).astype(np.float32),
        y=y.astype(np.int64),
        ids=ids or tuple(f"picture{i}.jpg" for i in range(rows)),
        classes=("a", "b", "c"),
        splits=splits,
        digests=rng.integers(0, 256, (rows, 32), dtype=np.uint8),
        fingerprint=FINGERPRINT,
        dataset="x",
        root=b"/",
        paths=tuple(str(i).encode() for i in range(rows)),
    )


def test_a_stratified_share_of_the_training_part_validates():
    data = features()
    start = starting_point(data, fraction=0.2, seed=0, groups="none")
    assert sorted([*start.fit, *start.valid, *start.test]) == list(range(120))
    assert (data.splits[start.test] == "test").all() and len(start.test) == 30
    assert np.bincount(data.y[start.valid]).tolist() == [6, 6, 6]
    np.testing.assert_array_equal(start.training, data.training())
    again = starting_point(data, fraction=0.2, seed=1, groups="none")
    assert not np.array_equal(again.valid, start.valid)


def test_a_val_part_beside_a_test_part_validates():
    data = features(splits=["train", "val", "test", "train", "train", "train"] * 20)
    start = starting_point(data, fraction=0.2, seed=0, groups="none")
    assert (data.splits[start.valid] == "val").all() and len(start.valid) == 20


def test_a_val_part_alone_judges_and_does_not_choose():
    data = features(splits=["train", "val", "train", "train"] * 30)
    start = starting_point(data, fraction=0.2, seed=0, groups="none")
    assert (data.splits[start.test] == "val").all()
    assert (data.splits[start.valid] == "train").all()


def test_images_of_one_source_are_on_one_side():
    ids = tuple(f"source{i // 4}_{i}.jpg" for i in range(120))
    start = starting_point(features(ids=ids), fraction=0.25, seed=0, groups=r"source(\d+)_")
    source = np.arange(120) // 4
    assert not set(source[start.fit]) & set(source[start.valid])
    assert start.groups is not None and len(np.unique(start.groups)) == 30


def test_copies_are_found_unasked_and_that_is_said():
    rng, source = np.random.default_rng(1), np.arange(240) // 12 * 3 + np.arange(240) % 3
    rows = rng.normal(size=(60, 64))[source] + rng.normal(0, 1e-3, (240, 64))  # in few directions nothing is certain
    data = dataclasses.replace(features(240), X=rows.astype(np.float32))
    start = starting_point(data, fraction=0.25, seed=0)
    assert start.groups is not None and "come from about" in start.notes[0]
    assert not set(start.groups[start.fit]) & set(start.groups[start.valid])
    assert starting_point(data, fraction=0.25, seed=0, groups="none").groups is None


def test_what_training_depends_on_is_told_apart():
    data = features()
    identity = starting_point(data, fraction=0.2, seed=0, groups="none").identity()
    assert identity == starting_point(data, fraction=0.2, seed=0, groups="none").identity()
    assert identity != starting_point(data, fraction=0.2, seed=1, groups="none").identity()
    relabelled = features()
    relabelled.y[0] = 1
    assert identity != starting_point(relabelled, fraction=0.2, seed=0, groups="none").identity()


@pytest.mark.parametrize(
    ("data", "fraction", "sentence"),
    [
        (features(), 0.0, "no validation part: the share to hold out is 0.0"),
        (features(12), 0.001, "no validation part|"),
        (features().subset(np.arange(120) % 3 == 1), 0.2, r"2 of 3 classes have no training image .*\(a, c\)"),
    ],
)
def test_what_cannot_be_parted_is_refused(data, fraction, sentence):
    if fraction == 0.001:
        assert (
            len(starting_point(data, fraction=fraction, seed=0, groups="none").valid) == 3
        )  # one of each class at the least
        return
    with pytest.raises(FeaturesError, match=sentence):
        starting_point(data, fraction=fraction, seed=0, groups="none")


def test_a_class_that_only_validates_is_refused():
    data = features(splits=["train", "val", "train"] * 40)
    data.splits[::4] = "test"
    with pytest.raises(FeaturesError, match="class 'b' has images under val but none under train"):
        starting_point(data, fraction=0.2, seed=0, groups="none")


def test_a_probe_is_fitted_on_its_rows_alone():
    data = features()
    start = starting_point(data, fraction=0.2, seed=0, groups="none")
    cached_head = CachedHead("logistic", 0, "quick", None)
    head = cached_head.fit(start, start.fit)
    data.X[start.valid] = 99
    data.X[start.test] = 99
    np.testing.assert_array_equal(cached_head.fit(start, start.fit).coef_, head.coef_)


def test_only_linear_heads_start_a_fine_tune():
    notes = []
    assert linear_head("svm", notes) == "svm" and not notes
    assert linear_head("lightgbm", notes) == "logistic" and "lightgbm has no gradients" in notes[0]
    assert linear_head("mlp", notes) == "logistic" and "mlp is not linear" in notes[1]
    with pytest.raises(UnknownNameError, match="close matches: logistic"):
        linear_head("logistik", notes)


def test_a_class_of_one_source_that_would_leave_the_training_is_refused_with_the_way_out():
    y = np.arange(120) % 3
    ids = tuple(f"source{'only' if label == 2 else i}_{i}.jpg" for i, label in enumerate(y))
    refused = 0
    for seed in range(8):  # in which part the one source ends is chance
        try:
            start = starting_point(features(ids=ids), fraction=0.5, seed=seed, groups=r"source(\w+?)_")
        except FeaturesError as error:
            refused += 1
            assert "all training images of class 'c' are of one source" in str(error)
            assert '`groups="none"`' in str(error)
        else:
            assert set(y[start.fit]) == {0, 1, 2}
            assert start.notes == ("the validation part has no image of c: the epoch is chosen without them",)


def given_parts(valid_classes):
    """A set whose "val" part holds these classes, one image each."""
    splits, wanted = ["train"] * 120, list(valid_classes)
    for row in range(119, -1, -1):
        if row % 3 in wanted:
            splits[row] = "val"
            wanted.remove(row % 3)
    splits[0] = splits[1] = splits[2] = "test"
    return features(splits=splits)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([0, 1, 2, 0], "has 4 images: no epoch can be shown to be better than the cached head on fewer than 5"),
        ([1] * 6, r"\(6 images\) holds one class only: .* give every class validation images"),
        ([0, 1] * 3, "has no image of c: the epoch is chosen without them"),
    ],
)
def test_what_a_validation_part_cannot_tell_is_said(classes, words):
    (note,) = starting_point(given_parts(classes), fraction=0.2, seed=0, groups="none").notes
    assert note.startswith("the validation part ")
    assert re.search(words, note)


def test_a_validation_part_that_can_tell_needs_no_word():
    assert starting_point(given_parts([0, 1, 2] * 2), fraction=0.2, seed=0, groups="none").notes == ()


def test_a_head_for_varied_images_keeps_views_of_one_image_together_and_sources(monkeypatch):
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    middles, asked, seen = rng.normal(size=(3, 8)) * 3, [], {}

    def varied(rows, epoch):
        asked.append(epoch)
        return (middles[y[rows]] + rng.normal(size=(len(rows), 8))).astype(np.float32)

    inner = CachedHead.fit_features
    monkeypatch.setattr(
        CachedHead,
        "fit_features",
        lambda self, X, y, groups: (seen.update(groups=groups), inner(self, X, y, groups))[1],
    )
    head = CachedHead("logistic", 0, "quick", None)
    fitted = head.fit_varied(varied, y, None, epoch=7)
    assert asked == [7, 8] and seen["groups"].tolist() == [*range(60), *range(60)]
    assert (fitted.predict((middles[y]).astype(np.float32)) == y).all()
    head.fit_varied(varied, y, np.arange(60) // 3, epoch=0)
    assert seen["groups"].tolist() == [*(np.arange(60) // 3), *(np.arange(60) // 3)]
    middles[:] = 0.0  # then the varied images tell nothing, and the plain ones do
    plain = (4.0 * np.eye(8, dtype=np.float32))[y]
    fitted = head.fit_varied(varied, y, np.arange(60) // 3, epoch=0, plain=plain)
    assert (fitted.predict(plain) == y).all() and seen["groups"].tolist() == 3 * (np.arange(60) // 3).tolist()


def test_many_images_are_seen_once_and_not_all_but_no_class_is_lost(monkeypatch):
    monkeypatch.setattr("classifiers.training.starting_point.VARIED", 40)
    rng, asked = np.random.default_rng(0), []

    def varied(rows, epoch):
        asked.append((len(rows), epoch))
        return rng.normal(size=(len(rows), 4)).astype(np.float32)

    head = CachedHead("logistic", 0, "quick", None)
    head.fit_varied(varied, np.arange(90) % 2, None, epoch=3)
    ((rows, epoch),) = asked
    assert 40 <= rows <= 50 and epoch == 3
    rare = np.zeros(900, dtype=np.int64)
    rare[-6:] = 1
    fitted = head.fit_varied(varied, rare, None, epoch=3)
    assert 45 <= asked[-1][0] <= 50
    assert fitted.predict_proba(np.zeros((1, 4), dtype=np.float32)).shape == (1, 2)
