import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics

from classifiers.validation.scores import Scores
from featstore.errors import FeaturesError


def predictions(n=300, k=5, seed=0, strength=1.5):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += strength
    proba = np.exp(logits)
    return y, proba / proba.sum(axis=1, keepdims=True)


CLASSES = tuple("abcde")


def test_every_metric_agrees_with_scikit_learn():
    y, proba = predictions()
    scores = Scores.of(y, proba, CLASSES)
    predicted = proba.argmax(axis=1)
    assert scores.n == scores.images == 300
    assert scores.hits == int((predicted == y).sum())
    np.testing.assert_array_equal(scores.confusion, metrics.confusion_matrix(y, predicted))
    np.testing.assert_array_equal(scores.support, np.bincount(y, minlength=5))
    np.testing.assert_array_equal(scores.predicted, np.bincount(predicted, minlength=5))
    assert scores.accuracy == metrics.accuracy_score(y, predicted)
    assert scores.top3_accuracy == pytest.approx(metrics.top_k_accuracy_score(y, proba, k=3))
    assert scores.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(y, predicted))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    assert scores.log_loss == pytest.approx(metrics.log_loss(y, proba))
    assert scores.brier == pytest.approx(np.mean(((proba - np.eye(5)[y]) ** 2).sum(axis=1)))


def test_classes_that_are_not_there_count_in_no_mean():
    y, proba = predictions(k=5)
    keep = y < 3
    scores = Scores.of(y[keep], proba[keep], CLASSES)
    predicted = proba[keep].argmax(axis=1)
    assert scores.balanced_accuracy == pytest.approx(np.mean([(predicted[y[keep] == c] == c).mean() for c in range(3)]))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(y[keep], predicted, average="macro"))


def test_ece_by_hand():
    proba = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    scores = Scores.of(np.array([0, 1, 0, 1]), proba, ("a", "b"))
    assert scores.ece == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6) + abs(1 - 0.8)) / 4)
    table = scores.reliability()
    assert len(table) == 15 and sum(row["count"] for row in table) == 4
    row = table[13]
    assert (row["count"], row["confidence"], row["accuracy"]) == (2, pytest.approx(0.9), 0.5)
    assert table[0]["accuracy"] is None


def test_probability_1_falls_into_the_last_bin_and_ties_into_the_first_class():
    scores = Scores.of(np.array([0, 3]), np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]), tuple("abcd"))
    assert scores.bin_counts[14] == 1
    assert scores.cells.tolist() == [[0, 0, 1], [3, 0, 1]]
    assert scores.top3_hits == 1


def test_a_probability_of_0_for_the_truth_costs_much_but_not_infinity():
    scores = Scores.of(np.array([1]), np.array([[1.0, 0.0]]), ("a", "b"))
    assert 30 < scores.log_loss < 40
    assert scores.brier == 2.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 299), min_size=1, max_size=4).map(sorted), st.integers(0, 5))
def test_scores_of_folds_add_up_to_the_scores_of_everything(cuts, seed):
    y, proba = predictions(seed=seed)
    parts = [Scores.of(a, p, CLASSES) for a, p in zip(np.split(y, cuts), np.split(proba, cuts), strict=True) if len(a)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = Scores.of(y, proba, CLASSES)
    np.testing.assert_array_equal(total.cells, whole.cells)
    np.testing.assert_array_equal(total.bin_counts, whole.bin_counts)
    assert (total.images, total.top3_hits) == (whole.images, whole.top3_hits)
    assert total.log_loss == pytest.approx(whole.log_loss)
    assert total.ece == pytest.approx(whole.ece)


def test_a_repeat_counts_each_image_once():
    y, proba = predictions()
    once = Scores.of(y, proba, CLASSES)
    thrice = once.again(once).again(once)
    assert (thrice.n, thrice.images) == (900, 300)
    assert thrice.accuracy == once.accuracy
    assert thrice.accuracy_interval() == pytest.approx(once.accuracy_interval())
    low, high = once.intervals()["macro_f1"]
    assert thrice.intervals()["macro_f1"] == pytest.approx((low, high), abs=0.01)
    assert thrice.per_class()[0]["recall_ci"] == pytest.approx(once.per_class()[0]["recall_ci"])
    with pytest.raises(FeaturesError, match="a repeat over 10 images"):
        once.again(Scores.of(y[:10], proba[:10], CLASSES))


def test_intervals_hold_their_metric_and_repeat_by_seed():
    y, proba = predictions()
    scores = Scores.of(y, proba, CLASSES)
    intervals = scores.intervals(seed=3)
    for name, (low, high) in intervals.items():
        assert low < getattr(scores, name) < high
        assert high - low < 0.2
    assert intervals == scores.intervals(seed=3) != scores.intervals(seed=4)


def test_per_class_counts_and_their_gaps():
    y = np.array([0, 0, 1])
    proba = np.array([[0.8, 0.2, 0], [0.3, 0.7, 0], [0.1, 0.9, 0]])
    a, b, c = Scores.of(y, proba, ("a", "b", "c")).per_class()
    assert (a["support"], a["predicted"], a["hits"], a["precision"], a["recall"]) == (2, 1, 1, 1.0, 0.5)
    assert b["f1"] == pytest.approx(2 / 3)
    assert c["precision"] is c["recall"] is c["recall_ci"] is c["f1"] is None


def test_ten_thousand_classes_stay_sparse():
    k = 10_000
    y = np.arange(200) * 50
    proba = np.zeros((200, k), dtype=np.float32)
    proba[np.arange(200), y + (np.arange(200) % 4 == 0)] = 1
    scores = Scores.of(y, proba, tuple(map(str, range(k))))
    assert scores.accuracy == 0.75
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(y, proba.argmax(axis=1), average="macro"))
    assert scores.intervals()["balanced_accuracy"][0] < 0.75
    with pytest.raises(FeaturesError, match="10000 classes"):
        _ = scores.confusion


def test_bad_input_is_named():
    y, proba = predictions()
    with pytest.raises(FeaturesError, match=r"shape \(300, 5\), expected \(300, 2\)"):
        Scores.of(y, proba, ("a", "b"))
    with pytest.raises(FeaturesError, match="true classes go from 0 to 7"):
        Scores.of(np.where(y == 0, 7, 0), proba, CLASSES)
    proba[3, 2] = np.nan
    with pytest.raises(FeaturesError, match="not a finite number"):
        Scores.of(y, proba, CLASSES)
    one = Scores.of(y[:3], np.eye(5)[y[:3]], CLASSES)
    with pytest.raises(FeaturesError, match="cannot be added"):
        _ = one + Scores.of(np.array([0]), np.array([[1.0, 0]]), ("x", "y"))


def test_it_shows_itself_in_text_and_in_a_notebook():
    y, proba = predictions()
    scores = Scores.of(y, proba, CLASSES)
    assert f"{scores.hits} of 300 right" in repr(scores)
    page = scores._repr_html_()
    assert f"{scores.accuracy:.4f}" in page and page.count('<th scope="row">') == 8


def test_nothing_judged_has_no_accuracy():
    scores = Scores.of(np.zeros(0, dtype=np.int64), np.zeros((0, 2)), ("a", "b"))
    assert scores.n == 0 and np.isnan(scores.accuracy)
    assert scores.accuracy_interval() == (0.0, 1.0)
