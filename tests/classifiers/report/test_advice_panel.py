from classifiers.advice.decision import judge
from classifiers.report.advice_panel import AdvicePanel
from tests.classifiers.advice.test_decision import evidence


def advice(accuracies=(0.694, 0.682, 0.625), **more):
    settings = {"train": 1000, "per_class": 250, "classes": 4, "doubled": (0.76, 0.70, 0.80), **more}
    return judge(evidence(accuracies, **settings)).to_json()


def test_the_panel_words_and_draws_the_advice():
    given = {**advice(), "cost": {"text": "An epoch takes about 2 minutes."}, "next": "featstore finetune s d"}
    panel = AdvicePanel.of(given)
    assert panel.text == given["text"] and panel.next == "featstore finetune s d"
    assert panel.cost == "An epoch takes about 2 minutes."
    low, high = given["expected_gain_ci"]
    gain = f"{100 * given['expected_gain']:+.1f} points of accuracy ({100 * low:+.1f} to {100 * high:+.1f})"
    gain = gain.replace("-", "−")
    assert gain in panel.gain and panel.regime == f"Regime {given['regime']} of 4."
    assert [row["accuracy"] for row in panel.nodes] == ["69.4", "68.2", "62.5"]
    assert panel.nodes[0]["interval"] == "66.4 to 72.4"
    assert "features.10, before the last node" in panel.charts[0]["caption"]
    assert "<svg" in panel.charts[0]["svg"]


def test_names_cannot_smuggle_control_characters():
    given = advice()
    given["text"], given["evidence"]["nodes"][0]["node"] = "a\u202eb", "features\u0000.10"
    panel = AdvicePanel.of(given)
    assert "\u202e" not in panel.text and "\u0000" not in panel.nodes[0]["node"]


def test_the_best_node_may_be_the_last_and_one_node_draws_no_curve():
    assert "best at the last node" in AdvicePanel.of(advice((0.5, 0.6, 0.7))).charts[0]["caption"]
    given = advice()
    given["evidence"] |= {"nodes": given["evidence"]["nodes"][:1], "best": 0, "last": 0}
    assert not any("Layer curve" in chart["caption"] for chart in AdvicePanel.of(given).charts)


def test_no_advice_is_no_panel():
    assert AdvicePanel.of(None) is None and AdvicePanel.of({}) is None
