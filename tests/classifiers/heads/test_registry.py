import subprocess
import sys

import numpy as np
import pytest

from classifiers.heads.registry import DEFAULT, HEADS, check_name, differentiable, make_head
from featstore.errors import FeaturesError, UnknownNameError
from tests.support import head_checks

OWN = ["svm-rbf", "lightgbm", "knn", "centroid", "forest", "majority"]


def test_the_names_that_are_promised_are_there():
    assert set(HEADS) == {
        "logistic", "svm", "svm-rbf", "lightgbm", "mlp", "knn", "centroid", "forest", "majority", "pixels",
    }  # fmt: skip
    assert [name for name, info in HEADS.items() if info.reference] == ["majority", "pixels"]
    assert set(DEFAULT) <= set(HEADS)
    assert differentiable() == ["logistic", "svm", "mlp", "centroid"]


@pytest.mark.parametrize("name", OWN)
def test_every_head_takes_the_common_options(name):
    X, y = head_checks.digits(120, 3)
    head = make_head(name, seed=3, budget="quick", cv=3, class_weight="balanced").fit(X, y)
    assert head.predict_proba(X).shape == (120, 3)
    assert len(head.cv_results_[0]["fold_accuracies"]) == 3
    assert type(make_head(name)).from_state(*head.get_state()).predict(X).tolist() == head.predict(X).tolist()


def test_unknown_names_options_and_budgets_are_refused():
    with pytest.raises(UnknownNameError, match="unknown head 'logistik'; close matches: logistic"):
        make_head("logistik")
    with pytest.raises(FeaturesError, match="'knn' does not take depth; it takes budget, class_weight, cv, .*seed"):
        make_head("knn", depth=3)
    with pytest.raises(FeaturesError) as refused:
        make_head("logistic", C=3, n_jobs=1)
    assert "does not take C, n_jobs; it takes " in str(refused.value) and "SoftmaxRegression" not in str(refused.value)
    with pytest.raises(FeaturesError, match="budget is 'long'"):
        make_head("knn", budget="long")


def test_importing_the_names_loads_no_library_that_is_slow():
    code = (
        "import sys, classifiers.heads.registry; "
        "print([m for m in ('torch', 'lightgbm', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("head", ["logistic", "svm", "svm-rbf", "lightgbm", "knn", "centroid", "forest"])
@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ({0: -1.0}, "the class weight of 0 is -1.0, expected a positive number"),
        ({0: 0}, "the class weight of 0 is 0, expected a positive number"),
        ({1: float("nan")}, "the class weight of 1 is nan, expected a positive number"),
        ("unbalanced", "class_weight is 'unbalanced', expected 'balanced', a mapping or None"),
    ],
)
def test_class_weights_that_mean_nothing_are_refused(head, weight, said):
    X, y = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    with pytest.raises(FeaturesError, match=said):
        make_head(head, budget="quick", cv=2, class_weight=weight).fit(X, y)


def test_references_are_no_heads_to_choose():
    with pytest.raises(UnknownNameError, match="unknown head 'pixels'; known: logistic, svm, svm-rbf, lightgbm, mlp"):
        check_name("pixels")


@pytest.mark.parametrize("name", ["logistic", "svm", "centroid", "knn"])
def test_a_mask_says_the_same_as_its_rows(name):
    X, y = head_checks.digits(80, 3)
    mask = np.arange(80) % 2 == 0
    masks = make_head(name, budget="quick", cv=[(mask, ~mask), (~mask, mask)]).fit(X, y)
    rows = make_head(name, budget="quick", cv=[(np.flatnonzero(m), np.flatnonzero(~m)) for m in (mask, ~mask)]).fit(
        X, y
    )
    np.testing.assert_array_equal(masks.oof_proba_, rows.oof_proba_)
