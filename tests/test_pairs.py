import types

import numpy as np
import pytest

from classifiers.pairs import beats_majority, comparisons, differences
from classifiers.significance import holm, mcnemar_exact


def run(name, right, reference=False):
    return types.SimpleNamespace(
        name=name, head=name, reference=reference, right={i: bool(ok) for i, ok in enumerate(right)}
    )


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    return [
        run("good", rng.random(200) < 0.9),
        run("fair", rng.random(200) < 0.8),
        run("bad", rng.random(200) < 0.25),
        run("majority", rng.random(200) < 0.25, reference=True),
        run("pixels", rng.random(200) < 0.5, reference=True),
    ]


def test_every_pair_of_heads_and_every_head_against_every_reference(runs):
    pairs = comparisons(runs)
    assert [(p["a"], p["b"]) for p in pairs] == [
        ("good", "fair"), ("good", "bad"), ("fair", "bad"),
        ("good", "majority"), ("good", "pixels"), ("fair", "majority"), ("fair", "pixels"), ("bad", "majority"),
        ("bad", "pixels"),
    ]  # fmt: skip
    for pair in pairs:
        a, b = runs[pair["a_run"]], runs[pair["b_run"]]
        only_a = sum(a.right[i] and not b.right[i] for i in range(200))
        only_b = sum(b.right[i] and not a.right[i] for i in range(200))
        assert (pair["a_only"], pair["b_only"], pair["n"]) == (only_a, only_b, 200)
        assert pair["p"] == mcnemar_exact(only_a, only_b) and pair["test"] == "exact McNemar"
    for family in ("heads", "references"):
        own = [p for p in pairs if p["family"] == family]
        assert [p["p_holm"] for p in own] == pytest.approx(holm([p["p"] for p in own]))


def test_beating_the_majority_takes_a_corrected_p_and_the_right_direction(runs):
    shown = beats_majority(comparisons(runs), runs)
    assert shown == [True, True, False, None, None]
    worse = [run("worse", np.zeros(50)), run("majority", np.ones(50), reference=True)]
    assert beats_majority(comparisons(worse), worse) == [False, None]


def test_only_images_that_both_judged_count():
    a, b = run("a", [1, 1, 0]), run("b", [0, 1])
    assert differences(a, b) == (2, 1, 0)


def test_one_head_alone_has_no_pairs():
    assert comparisons([run("alone", [1, 0])]) == []
