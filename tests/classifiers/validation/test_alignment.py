import dataclasses

import numpy as np
import pytest

from classifiers.validation.alignment import align, check_classes, named_runs
from classifiers.validation.protocol import make_protocol
from featstore.errors import FeaturesError
from featstore.system import machine
from tests.support.feature_sets import digits, feature_set


def test_sets_with_the_same_images_pass_through():
    a, b = digits(100), digits(100, node="layer3")
    sets, notes = align([a, b])
    assert sets[0] is a and sets[1] is b and notes == []
    assert align(a)[0] == [a]


def test_only_images_that_all_sets_hold_are_compared_in_one_order():
    a = digits(100)
    b = digits(100, node="layer3").subset(np.random.default_rng(0).permutation(100)[:90])
    sets, notes = align([a, b])
    assert sets[0].ids == sets[1].ids and len(sets[0]) == 90
    np.testing.assert_array_equal(sets[0].X, sets[1].X)
    assert notes == ["10 images that not every feature set holds took no part."]


def test_unlabelled_images_take_no_part():
    a = digits(100)
    y = a.y.copy()
    y[:7] = -1
    sets, notes = align(dataclasses.replace(a, y=y))
    assert len(sets[0]) == 93 and notes == ["7 images without a label took no part."]


def change(features, **fields):
    return dataclasses.replace(features, **fields)


def test_what_cannot_be_learnt_from_is_refused_by_name():
    a = digits(60)
    with pytest.raises(FeaturesError, match="no feature set was given"):
        align([])
    X = a.X.copy()
    X[13, 5] = np.nan
    with pytest.raises(FeaturesError, match=rf"features of '{a.ids[13]}' .* hold NaN or infinity"):
        align(change(a, X=X))
    with pytest.raises(FeaturesError, match="all images of data set 'digits' are of one class, 'class3'"):
        align(change(a, y=np.full(60, 3)))
    with pytest.raises(FeaturesError, match="all 60 images have the same features"):
        align(change(a, X=np.ones_like(a.X)))
    with pytest.raises(FeaturesError, match="has no image with features and a label"):
        align(a.subset(np.zeros(60, dtype=bool)))


def test_sets_that_do_not_belong_together_are_refused():
    a, b = digits(60), digits(60, node="layer3")
    with pytest.raises(FeaturesError, match="hold no image in common"):
        align([a, change(b, ids=tuple(f"other{i}" for i in range(60)))])
    with pytest.raises(FeaturesError, match="hold other labels for the same images"):
        align([a, change(b, y=(b.y + 1) % 10)])
    digests = b.digests.copy()
    digests[4] += 1
    with pytest.raises(FeaturesError, match=rf"saw other bytes under '{a.ids[4]}'"):
        align([a, change(b, digests=digests)])
    with pytest.raises(FeaturesError, match="divide the images into other parts"):
        align([a, change(b, splits=np.array(["test"] * 60))])


def test_more_than_there_is_memory_for_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 50_000)
    with pytest.raises(
        FeaturesError, match=r"comparing 60 images of 64 features in 10 classes needs about .* are free"
    ):
        align(digits(60))


def test_runs_are_told_apart_by_as_much_as_it_takes():
    a, b, c = digits(20), digits(20, node="layer3"), digits(20, node="layer3", pool="max")
    assert named_runs([a]) == [""]
    assert named_runs([a, b]) == [" · avgpool", " · layer3"]
    assert named_runs([a, b, c]) == [" · avgpool", " · layer3/avg", " · layer3/max"]
    other = digits(20, backbone="vgg11")
    assert named_runs([a, other]) == [" · resnet18", " · vgg11"]
    assert named_runs([a, b, other]) == [" · resnet18/avgpool", " · resnet18/layer3", " · vgg11/avgpool"]
    tuned = digits(20, weights="fine-tuned t.safetensors", weights_sha256="1" * 64)
    assert named_runs([a, tuned]) == [" · random (seed 0)", " · fine-tuned t.safetensors"]


def parts(y, splits):
    features = feature_set(np.random.default_rng(0).normal(size=(len(y), 3)), y, splits=splits)
    return features, make_protocol(features, folds=2)


def test_a_class_that_nothing_trains_is_refused():
    features, protocol = parts([0, 0, 0, 1, 1, 1, 0, 2], ["train"] * 6 + ["test"] * 2)
    with pytest.raises(FeaturesError, match=r"test images of 1 class that no training image shows: 'class2' \(1\)"):
        check_classes(features, protocol)


def test_a_class_that_nothing_judges_is_refused_unless_allowed_or_single():
    features, protocol = parts([0, 0, 0, 1, 1, 1, 2, 2, 0, 1], ["train"] * 8 + ["test"] * 2)
    with pytest.raises(FeaturesError, match=r"training images of 1 class that no test image shows: 'class2' \(2\)"):
        check_classes(features, protocol)
    allowed = check_classes(features, protocol, allow_untested=True, allow_few=True)
    assert "No image judges 1 class: 'class2' (2)." in allowed
    single, protocol = parts([0, 0, 0, 1, 1, 1, 2, 0, 1], ["train"] * 7 + ["test"] * 2)
    assert "No image judges 1 class: 'class2' (1)." in check_classes(single, protocol, allow_few=True)


def test_classes_with_fewer_images_than_folds_are_refused_unless_allowed():
    y = np.r_[np.arange(40) % 2, 2, 2, 2]
    features = feature_set(np.random.default_rng(0).normal(size=(43, 3)), y, classes=("a", "b", "c", "empty"))
    protocol = make_protocol(features, protocol="cv")
    with pytest.raises(
        FeaturesError, match=r"1 class has fewer .* the 5 folds .*: 'c' \(3\); cross-validate with `folds=3`"
    ):
        check_classes(features, protocol)
    warnings = check_classes(features, protocol, allow_few=True)
    assert any("1 class has fewer training images than the 5 folds" in text and "'c' (3)" in text for text in warnings)
    assert any("1 class without any image took no part: empty." in text for text in warnings)
