import numpy as np
import pytest

from classifiers.heads.base.fold_table import FoldTable


def outcomes(*probas):
    return lambda: [(np.asarray(p), {}) for p in probas]


def test_the_most_accurate_candidate_wins_and_log_loss_settles_ties():
    y = np.array([0, 1, 0, 1])
    folds = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3]))]
    table = FoldTable(y, 2, np.ones(4))
    sure, unsure, wrong = [[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.4, 0.6]], [[0.9, 0.1], [0.9, 0.1]]
    table.judge({"c": 1}, folds, outcomes(wrong, unsure))
    table.judge({"c": 2}, folds, outcomes(unsure, unsure))
    table.judge({"c": 3}, folds, outcomes(sure, sure))
    table.judge({"c": 4}, folds, outcomes(unsure, sure))
    assert [row["accuracy"] for row in table.rows] == [0.75, 1.0, 1.0, 1.0]
    assert table.rows[0]["fold_accuracies"] == [0.5, 1.0]
    assert table.rows[1]["log_loss"] == pytest.approx(-np.log(0.6))
    assert table.best == 2
    np.testing.assert_allclose(table.best_proba, np.array([*sure, *sure]), atol=1e-6)


def test_rows_that_no_fold_judges_stay_unknown():
    table = FoldTable(np.array([0, 1, 1]), 2, np.ones(3))
    table.judge({}, [(np.array([1, 2]), np.array([0]))], outcomes([[1.0, 0.0]]))
    assert np.isnan(table.best_proba[1:]).all() and table.rows[0]["accuracy"] == 1.0
