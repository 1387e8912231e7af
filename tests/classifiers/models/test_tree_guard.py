"""Trees from strangers; the reference is LightGBM on its own text."""

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from classifiers.models.tree_guard import check_forest, checked_lightgbm
from featstore.errors import BundleError


def model(classes=3, rounds=6, leaves=5, rows=90):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, 4)).astype(np.float32), rng.integers(0, classes, rows)
    objective = {"objective": "multiclass", "num_class": classes} if classes > 2 else {"objective": "binary"}
    params = {**objective, "num_leaves": leaves, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 2}
    return lgb.train(params, lgb.Dataset(X, y), num_boost_round=rounds).model_to_string(), X


TEXT, ROWS = model()


@pytest.mark.parametrize(("classes", "leaves", "rows"), [(2, 4, 60), (3, 5, 90), (5, 2, 40), (2, 31, 4)])
def test_what_is_written_anew_predicts_the_same_bits(classes, leaves, rows):
    text, X = model(classes, leaves=leaves, rows=rows)
    anew = checked_lightgbm(text.encode(), 4, classes).decode()
    expected = lgb.Booster(model_str=text).predict(X)
    np.testing.assert_array_equal(lgb.Booster(model_str=anew).predict(X), expected)
    assert checked_lightgbm(anew.encode(), 4, classes).decode() == anew
    assert "forcedsplits_filename" not in anew


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tree\n", "oak\n"),
        ("version=v4", "version=v9"),
        ("num_class=3", "num_class=1000000000"),
        ("max_feature_idx=3", "max_feature_idx=300000"),
        ("objective=multiclass num_class:3", "objective=custom"),
        ("num_leaves=5", "num_leaves=99999999"),
        ("num_leaves=5", "num_leaves=-5"),
        ("num_cat=0", "num_cat=1"),
        ("split_feature=", "split_feature=900 "),
        ("left_child=", "left_child=0 "),
        ("right_child=1", "right_child=0"),
        ("right_child=1", "right_child=77"),
        ("decision_type=2", "decision_type=1"),
        ("leaf_value=", "leaf_value=nan "),
        ("threshold=", "threshold=1e999 "),
        ("is_linear=0", "is_linear=1"),
        ("Tree=1\n", "Tree=7\n"),
        ("Tree=1\n", ""),
        ("end of trees", ""),
        ("shrinkage=", "shrinkage=x"),
        ("feature_infos=[", "feature_infos=0:1:2 ["),
    ],
)
def test_changed_models_are_refused(old, new):
    assert old in TEXT
    with pytest.raises(BundleError, match="LightGBM model"):
        checked_lightgbm(TEXT.replace(old, new, 1).encode(), 4, 3)


@pytest.mark.parametrize(
    ("classes", "old", "new"),
    [
        (
            2,
            "objective=binary sigmoid:1",
            "objective=multiclass num_class:7",
        ),  # LightGBM would write seven numbers a row
        (2, "objective=binary sigmoid:1", "objective=multiclass num_class:0"),
        (2, "objective=binary sigmoid:1", "objective=binary sigmoid:0"),
        (3, "objective=multiclass num_class:3", "objective=multiclass num_class:9999999"),
        (3, "objective=multiclass num_class:3", "objective=binary sigmoid:1"),
    ],
)
def test_an_objective_of_other_classes_is_refused(classes, old, new):
    text, _ = model(classes)
    assert old in text
    with pytest.raises(BundleError, match="objective"):
        checked_lightgbm(text.replace(old, new).encode(), 4, classes)


def test_a_model_for_other_rows_or_classes_is_refused():
    with pytest.raises(BundleError, match="max_feature_idx is '3', not 6"):
        checked_lightgbm(TEXT.encode(), 7, 3)
    with pytest.raises(BundleError, match="num_class is '3', not 4"):
        checked_lightgbm(TEXT.encode(), 4, 4)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.sampled_from(list("09-=.e \n[]:Tx\x00")), st.integers(0, 3))
def test_a_mutated_model_is_refused_or_harmless(position, character, cut):
    text = TEXT[:position] + character + TEXT[position + cut :]
    try:
        anew = checked_lightgbm(text.encode(), 4, 3).decode()
    except BundleError:
        return
    assert np.isfinite(lgb.Booster(model_str=anew).predict(ROWS)).all()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_text_that_ends_too_early_is_refused(share):
    with pytest.raises(BundleError, match="LightGBM model"):
        checked_lightgbm(TEXT[: int(share * TEXT.index("end of trees"))].encode(), 4, 3)


def test_no_text_at_all_is_refused():
    for data in (b"", b"tree", b"tree\n", b"\xff\xfe" * 9, b"tree\n" + b"a=b\n" * 10):
        with pytest.raises(BundleError, match="LightGBM model"):
            checked_lightgbm(data, 4, 3)


def forest():
    return {
        "roots": np.array([0, 3], dtype=np.int32),
        "left": np.array([1, -1, -1, -1]),
        "right": np.array([2, -1, -1, -1]),
        "feature": np.array([1, -1, -1, -1]),
        "threshold": np.array([0.5, 0, 0, 0]),
        "leaf": np.array([-1, 0, 1, 2]),
        "value": np.array([[1, 0], [0, 1], [0.25, 0.75]], dtype=np.float32),
    }


def test_a_sound_forest_passes():
    check_forest(forest(), 2)


@pytest.mark.parametrize(
    ("name", "at", "value", "sentence"),
    [
        ("left", 0, 0, "circles"),
        ("right", 0, -1, "circles"),
        ("left", 0, 9, "lead out"),
        ("roots", 1, -1, "lead out"),
        ("roots", 1, 4, "lead out"),
        ("feature", 0, 2, "lead out"),
        ("leaf", 3, 3, "lead out"),
        ("leaf", 3, -1, "lead out"),
        ("value", 1, np.nan, "no probabilities"),
    ],
)
def test_a_forest_that_is_none_is_refused(name, at, value, sentence):
    arrays = forest()
    arrays[name][at] = value
    with pytest.raises(BundleError, match=sentence):
        check_forest(arrays, 2)


def test_a_forest_of_other_shapes_is_refused():
    for name, array in {"left": np.zeros(0, int), "value": np.zeros(4), "right": np.zeros(3, int)}.items():
        with pytest.raises(BundleError, match="shapes"):
            check_forest(forest() | {name: array}, 2)
    with pytest.raises(BundleError, match="shapes"):
        check_forest(forest() | {"left": np.zeros(4)}, 2)
