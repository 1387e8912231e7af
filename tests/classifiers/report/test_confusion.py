import re

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from classifiers.report.confusion import Confusion
from classifiers.report.report_data import filled
from tests.support.report_example import planted


def run_of(k: int, n: int = 400):
    data = planted(k, n, strengths={"logistic": 2.0})
    return filled(data)["runs"][0], data["dataset"]["classes"]


def test_counts_come_from_the_matrix_or_from_the_predictions():
    run, classes = run_of(5)
    from_matrix = Confusion.of(run, classes)
    from_predictions = Confusion.of({**run, "confusion": []}, classes)
    assert from_matrix.pairs == from_predictions.pairs
    true, predicted = run["predictions"]["true"], run["predictions"]["predicted"]
    matrix = confusion_matrix(true, predicted)
    assert from_matrix.pairs == {(a, b): matrix[a, b] for a in range(5) for b in range(5) if matrix[a, b]}
    assert from_matrix.support.tolist() == matrix.sum(1).tolist()


def test_neither_matrix_nor_predictions_is_an_empty_matrix():
    confusion = Confusion.of({"confusion": [], "predictions": None}, ["a", "b"])
    assert confusion.pairs == {} and confusion.largest() == []


def test_the_largest_confusions_come_first():
    confusion = Confusion({(0, 0): 9, (0, 1): 1, (1, 1): 2, (1, 2): 3, (2, 0): 3, (2, 2): 30}, "abc")
    assert [(m.true, m.predicted, m.count, m.support) for m in confusion.largest()] == [
        (1, 2, 3, 5),
        (2, 0, 3, 33),
        (0, 1, 1, 10),
    ]
    assert len(confusion.largest(1)) == 1


def test_classes_that_are_confused_stand_together():
    k = 40
    pairs = {(i, i): 8 for i in range(k)}
    partner = {i: (i + 20) % k for i in range(k)}
    pairs |= {(i, partner[i]): 4 for i in range(k)}
    place = np.argsort(Confusion(pairs, [str(i) for i in range(k)]).order())
    assert all(abs(place[i] - place[partner[i]]) == 1 for i in range(k))


@pytest.mark.parametrize("k", [2, 12])
def test_few_classes_keep_their_order(k):
    run, classes = run_of(k)
    assert Confusion.of(run, classes).order().tolist() == list(range(k))


def test_the_order_is_a_permutation_even_without_mistakes():
    assert Confusion({(i, i): 1 for i in range(30)}, [str(i) for i in range(30)]).order().tolist() == list(range(30))


@pytest.mark.parametrize("k", [2, 37, 200])
def test_the_picture_holds_every_count_once(k):
    run, classes = run_of(k, 800)
    confusion = Confusion.of(run, classes)
    svg = str(confusion.svg())
    titles = re.findall(r"<title>true (\S+), answer (\S+): (\d+) of", svg)
    assert {(classes.index(t), classes.index(p)): int(n) for t, p, n in titles} == confusion.pairs
    assert svg.count('class="right"') == sum(a == b for a, b in confusion.pairs)
    assert svg.count('class="label"') == 2 * k


def test_names_are_escaped():
    svg = str(Confusion({(0, 0): 1, (1, 0): 2}, ["<b>", 'x" onload="y']).svg())
    assert "<b>" not in svg and 'onload="y' not in svg and "&lt;b&gt;" in svg
