import numpy as np
import pytest

from classifiers.validation.class_coverage import check_classes
from classifiers.validation.protocol import make_protocol
from featstore.errors import FeaturesError
from tests.support.feature_sets import feature_set


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
