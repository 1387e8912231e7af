from classifiers.report.pair_rows import pair_rows
from classifiers.report.report_data import filled
from tests.support.report_example import planted


def test_pairs_of_the_best_come_first_and_say_what_is_shown():
    data = planted(3, 300, strengths={"logistic": 3.0, "svm": 2.9, "knn": 0.5})
    listed = pair_rows(filled(data))
    best = data["runs"][data["best_run"]]["name"]
    assert [best in (p.a, p.b) for p in listed] == [True] * 3 + [False] * 3
    knn = next(p for p in listed if {p.a, p.b} == {best, "knn"})
    assert all(p.a == best for p in listed[:3])
    turned = next(c for c in data["comparisons"] if {c["a"], c["b"]} == {best, "knn"})
    turned["a"], turned["b"] = turned["b"], turned["a"]
    for key in ("run", "only"):
        turned[f"a_{key}"], turned[f"b_{key}"] = turned[f"b_{key}"], turned[f"a_{key}"]
    assert knn in pair_rows(filled(data))
    assert knn.shown and knn.finding == f"{best} is better"
    near = next(p for p in listed if {p.a, p.b} == {"logistic", "svm"})
    assert not near.shown and near.finding == "no difference shown"
    raw = next(c for c in data["comparisons"] if {c["a"], c["b"]} == {"logistic", "svm"})
    assert near.a_only == str(raw["a_only"]) and near.p_holm in ("1", f"{raw['p_holm']:.3f}")
