from classifiers.report.leaderboard import Leaderboard, pair_rows
from classifiers.report.report_data import filled
from tests.support.report_example import planted


def test_the_chosen_head_leads_then_cross_validation_decides_references_last():
    data = planted(3, 300, strengths={"knn": 0.8, "svm": 1.6, "logistic": 1.5})
    data["best"], data["best_run"] = "logistic", 2
    rows = Leaderboard(filled(data)).rows
    assert [row.name for row in rows] == ["logistic", "svm", "knn", "majority"]
    assert [row.best for row in rows] == [True, False, False, False]
    assert rows[-1].reference


def test_cells_are_the_runs_own_figures():
    data = planted(5, 300)
    board = Leaderboard(filled(data))
    row, run = board.rows[1], data["runs"][board.rows[1].run]
    assert row.cells["accuracy"] == f"{100 * run['accuracy']:.1f}"
    assert row.cells["interval"] == "{:.1f} to {:.1f}".format(*(100 * b for b in run["accuracy_ci"]))
    assert row.cells["log_loss"] == f"{run['log_loss']:.3f}"
    assert row.cells["tuning"] == "850 ms" and row.cells["converged"] == "yes"


def test_top_3_is_left_out_where_it_says_nothing():
    assert "top3" not in [c.key for c in Leaderboard(filled(planted(3))).columns]
    assert "top3" in [c.key for c in Leaderboard(filled(planted(4, 80))).columns]


def test_the_matrix_is_heads_by_sets_without_references():
    data = planted(3, sets=({}, {"node": "layer3", "feature_key": "1" * 16}))
    data["runs"] = [run for run in data["runs"] if run["name"] != "knn · mobilenet_v2/layer3"]
    data["comparisons"] = []
    matrix = dict(Leaderboard(filled(data)).matrix())
    assert set(matrix) == {"logistic", "svm", "knn"}
    assert matrix["knn"][1] is None
    for head, cells in matrix.items():
        for set_index, run in enumerate(cells):
            assert run is None or (data["runs"][run]["head"], data["runs"][run]["feature"]) == (head, set_index)


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


def test_it_is_said_how_the_rows_are_sorted():
    data = planted(3, 60)
    assert Leaderboard(filled(data)).order == (
        "The chosen head stands first, the other heads follow by their accuracy in cross-validation (CV %), "
        "references last."
    )
    for run in data["runs"]:
        run["cv_accuracy"] = None
    assert "follow by their accuracy, references" in Leaderboard(filled(data)).order
    assert Leaderboard(filled(planted(3, 60, strengths={"knn": 1.0}))).order == ""
