import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from classifiers.advice.node_choice import MOST_REPEATS, choose_node, repeats_for
from classifiers.validation.ridge_probe import RidgeProbe
from classifiers.validation.splits import stratified_folds

NAMES = ["layer2", "layer3", "avgpool"]


def nodes(strengths, n=240, seed=0, k=3):
    """Features of n rows, one matrix a strength of the signal, and classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k).astype(np.int64)
    return [(s * np.eye(k)[y] + rng.normal(size=(n, k))).astype(np.float32) for s in strengths], y


def chosen(strengths, *, groups=None, repeats=1, names=NAMES, **about):
    Xs, y = nodes(strengths, **about)
    folds = [stratified_folds(y, 5, seed, groups) for seed in range(repeats)]
    probes = [[RidgeProbe.fit(X, y, parts, nested=True) for parts in folds] for X in Xs]
    return choose_node(probes, y, folds, names[-len(Xs) :], groups=groups), probes, y


def test_an_earlier_node_that_is_better_is_shown():
    choice, probes, y = chosen([0.5, 2.5, 1])
    assert choice.best == 1
    assert choice.shown
    assert choice.lead > 0.1
    assert 0 < choice.lead_ci[0] < choice.lead < choice.lead_ci[1]
    assert choice.p < 0.001
    # The best is far ahead, so every fold chooses it: nested accuracy is its own.
    assert choice.nested_accuracy == pytest.approx((probes[1][0].answers == y).mean())
    assert choice.lead == pytest.approx(choice.nested_accuracy - choice.accuracies[2])
    assert [step.shown for step in choice.steps] == [True, True]
    assert choice.steps[0].rise > 0 > choice.steps[1].rise
    assert not choice.rises_to_last
    (sentence,) = choice.text
    assert sentence.startswith("An earlier node, layer3, is shown to be better than the last one, avgpool: +")
    assert "95 % interval" in sentence


def test_the_interval_is_the_paired_t_interval_enlarged_by_what_folds_share():
    choice, probes, y = chosen([0.5, 2.5, 1])
    difference = (probes[1][0].answers == y).astype(float) - (probes[2][0].answers == y)
    low, high = ttest_rel(difference, np.zeros(len(y))).confidence_interval(0.95)
    assert choice.lead_ci[1] - choice.lead_ci[0] == pytest.approx((high - low) * np.sqrt(1 + 5 / 4))


def test_rows_of_one_source_count_once():
    Xs, y = nodes([1, 2.5, 1.5], n=60)
    groups = np.repeat(np.arange(60), 4)
    Xs, y = [np.repeat(X, 4, axis=0) for X in Xs], np.repeat(y, 4)
    folds = [stratified_folds(y, 5, 0, groups)]
    probes = [[RidgeProbe.fit(X, y, folds[0], nested=True)] for X in Xs]
    as_one = choose_node(probes, y, folds, NAMES, groups=groups)
    as_many = choose_node(probes, y, folds, NAMES)
    assert as_one.lead == as_many.lead
    ratio = (as_one.lead_ci[1] - as_one.lead_ci[0]) / (as_many.lead_ci[1] - as_many.lead_ci[0])
    # Every row is there four times: the error is twice as large, with 59 degrees of freedom in place of 239.
    expected = 2 * t.ppf(0.975, 59) / t.ppf(0.975, 239) * np.sqrt((60 / 59) / (240 / 239))
    assert ratio == pytest.approx(expected, rel=1e-6)
    assert as_one.p > as_many.p


def test_a_rise_up_to_the_last_node_is_said_only_where_it_beats_every_other():
    risen, _, _ = chosen([0.5, 1, 3])
    assert risen.rises_to_last
    assert risen.best == 2
    assert (risen.lead, risen.lead_ci, risen.p, risen.shown) == (0.0, (0.0, 0.0), 1.0, False)
    assert risen.text == ("The last node, avgpool, is shown to be better than each earlier one.",)
    level, probes, y = chosen([0.5, 2.4, 2.4], seed=3)
    assert not level.rises_to_last
    assert not level.steps[1].shown
    assert level.steps[0].shown


def test_equal_nodes_are_not_told_apart():
    false = 0
    for seed in range(30):
        choice, _, _ = chosen([1.5, 1.5, 1.5], n=90, seed=seed)
        false += choice.shown + choice.rises_to_last
        if choice.best != 2 and not choice.shown:
            assert "it is not shown to be better than the last one, avgpool" in choice.text[0]
        if choice.best == 2 and not choice.rises_to_last:
            assert choice.text[0].startswith("The last node, avgpool, is chosen; it is not shown to be better than ")
    assert false <= 4  # of 60 statements, each wrong in 2.5 % of all samples: 5 or more come once in 50 times


def test_correlated_equal_nodes_are_not_told_apart_though_their_folds_choose_other_penalties():
    """Nodes that see nearly the same: rows differ little, so that what lies in all rows alike must be accounted for."""
    false = 0
    for seed in range(16):
        rng, y = np.random.default_rng(seed), np.arange(240) % 4
        centres, shared = rng.normal(size=(4, 24)), rng.normal(size=(240, 24))
        centres *= 2 / np.linalg.norm(centres[0] - centres[3])
        Xs = [(centres[y] + 0.7 * shared + 0.7 * rng.normal(size=(240, 24))).astype(np.float32) for _ in range(2)]
        folds = [stratified_folds(y, 5, repeat) for repeat in range(2)]
        probes = [[RidgeProbe.fit(X, y, parts, nested=True) for parts in folds] for X in Xs]
        choice = choose_node(probes, y, folds, NAMES[1:])
        false += choice.shown + choice.rises_to_last
    assert false <= 3  # of 16, each wrong in 5 %: 4 or more come once in 100 times


def test_the_choice_does_not_flatter_itself():
    nested, naive = [], []
    for seed in range(30):
        choice, _, _ = chosen([0] * 5, n=60, seed=seed, k=2, names=[f"n{i}" for i in range(5)])
        nested.append(choice.nested_accuracy)
        naive.append(max(choice.accuracies))
    assert np.mean(naive) > 0.55
    assert abs(np.mean(nested) - 0.5) < 0.03


def test_repeats_are_averaged():
    choice, probes, y = chosen([0.5, 2.5, 1], repeats=3)
    each = np.mean([[(probe.answers == y).mean() for probe in one] for one in probes], axis=1)
    np.testing.assert_allclose(choice.accuracies, each)
    assert choice.shown


def test_one_node_leaves_nothing_to_choose():
    choice, _, _ = chosen([2])
    assert (choice.best, choice.lead, choice.steps, choice.rises_to_last) == (0, 0.0, (), False)
    assert choice.text == ("Only one node is cached (avgpool): there is nothing to choose from.",)


def test_rows_that_are_not_judged_do_not_count():
    Xs, y = nodes([1, 2])
    y[0] = 3  # the only image of its class
    folds = [stratified_folds(y, 5, 0)]
    probes = [[RidgeProbe.fit(X, y, folds[0], nested=True)] for X in Xs]
    choice = choose_node(probes, y, folds, NAMES[1:])
    assert choice.accuracies[1] == pytest.approx((probes[1][0].answers[1:] == y[1:]).mean())


def test_counts_that_differ_are_an_error():
    Xs, y = nodes([1, 2])
    folds = stratified_folds(y, 5, 0)
    probe = RidgeProbe.fit(Xs[0], y, folds)
    with pytest.raises(ValueError, match="no inner scores, expected probes fitted with nested folds"):
        choose_node([[probe]], y, [folds], ["a"])
    with pytest.raises(ValueError, match=r"probes of 1 nodes with \[1\] repeats for 2 names and 1 repeats of folds"):
        choose_node([[probe]], y, [folds], ["a", "b"])


def test_few_rows_are_repeated_more_often():
    assert repeats_for(200, [1280] * 4) == MOST_REPEATS
    assert repeats_for(100_000, [1280] * 4) == 1
