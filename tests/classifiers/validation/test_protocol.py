import numpy as np
import pytest

from classifiers.validation.protocol import default_protocol, make_protocol
from featstore.errors import FeaturesError
from tests.support.feature_sets import digits, feature_set


def planted(n=600, classes=3, **options):
    rng = np.random.default_rng(0)
    return feature_set(rng.normal(size=(n, 4)), np.arange(n) % classes, **options)


def test_a_given_test_part_judges_once():
    features = digits(300, split=0.3)
    protocol = make_protocol(features)
    assert protocol.name == "given"
    np.testing.assert_array_equal(protocol.judged, features.testing())
    np.testing.assert_array_equal(protocol.trained, features.training())
    assert len(protocol.inner[0]) == 5 and "judged once on the 90 test images" in protocol.text
    assert protocol.selected_on == "5-fold cross-validation of the training part"


def test_folds_of_the_search_are_within_the_training_part():
    protocol = make_protocol(digits(300, split=0.3), folds=3)
    train = protocol.outer[0][0]
    valid = np.concatenate([train[b] for _, b in protocol.inner[0]])
    np.testing.assert_array_equal(np.sort(valid), train)


@pytest.mark.parametrize(
    ("n", "classes", "name"),
    [(1000, 4, "holdout"), (300, 4, "cv"), (370, 37, "cv"), (900, 60, "cv"), (12_000, 1000, "holdout")],
)
def test_what_auto_means(n, classes, name):
    assert default_protocol(planted(n, classes)) == name


def test_nested_cross_validation_judges_every_image_by_heads_that_have_not_seen_it():
    protocol = make_protocol(planted(90), protocol="cv", repeats=2)
    assert len(protocol.outer) == 10 and protocol.repeats == 2
    for half in (protocol.outer[:5], protocol.outer[5:]):
        np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in half])), np.arange(90))
    assert not np.array_equal(protocol.outer[0][1], protocol.outer[5][1])
    for (train, test), folds in zip(protocol.outer, protocol.inner, strict=True):
        assert set(train).isdisjoint(test)
        for a, b in folds:
            assert max(a.max(), b.max()) < len(train)
    assert "2 times with other folds" in protocol.text
    rows, folds = protocol.whole
    assert len(rows) == 90 and len(folds) == 5


def test_a_quarter_is_held_out():
    protocol = make_protocol(planted(600), protocol="holdout")
    assert len(protocol.judged) == 150 and len(protocol.trained) == 450
    again = make_protocol(planted(600), protocol="holdout")
    np.testing.assert_array_equal(protocol.judged, again.judged)
    assert not np.array_equal(protocol.judged, make_protocol(planted(600), protocol="holdout", seed=1).judged)


@pytest.mark.parametrize("protocol", ["cv", "holdout"])
def test_groups_stay_on_one_side_everywhere(protocol):
    features = planted(400)
    groups = np.arange(400) // 4 * 7
    protocol = make_protocol(features, protocol=protocol, groups=groups)
    for (train, test), folds in zip(protocol.outer, protocol.inner, strict=True):
        assert set(groups[train]).isdisjoint(groups[test])
        for a, b in folds:
            assert set(groups[train[a]]).isdisjoint(groups[train[b]])


@pytest.mark.parametrize("protocol", ["given", "cv", "holdout"])
def test_training_rows_with_a_copy_in_the_judged_part_can_be_kept_apart(protocol):
    features = digits(200, split=0.25)
    apart = np.arange(200)
    apart[-20:] = apart[:20]
    protocol = make_protocol(features, protocol=protocol, apart=apart)
    for (train, test), folds in zip(protocol.outer, protocol.inner, strict=True):
        assert set(apart[train]).isdisjoint(apart[test])
        for a, b in folds:
            assert set(apart[train[a]]).isdisjoint(apart[train[b]])
    if protocol.name == "given":
        np.testing.assert_array_equal(protocol.dropped, np.arange(180, 200))
        rest = len(features.training()) - 20
        assert (
            f"of the {rest} training images (20 left out: copies of judged images, or of their group), fitted"
            in protocol.text
        )


def test_parts_that_cannot_be_made_are_refused():
    with pytest.raises(FeaturesError, match="protocol is 'loo', expected one of auto, given, holdout, cv"):
        make_protocol(planted(), protocol="loo")
    with pytest.raises(FeaturesError, match="the data brings no test part; extract with `split="):
        make_protocol(planted(), protocol="given")
    with pytest.raises(FeaturesError, match="all images are in the test part"):
        make_protocol(planted(splits=["test"] * 600))
    with pytest.raises(FeaturesError, match="every training image has a copy"):
        make_protocol(digits(100, split=0.5), apart=np.zeros(100, np.int64))
