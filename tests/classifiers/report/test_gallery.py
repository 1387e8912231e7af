from pathlib import Path

from classifiers.leakage import crossing
from classifiers.report import gallery
from classifiers.report.report_data import filled
from tests.support.report_example import planted


def test_mistakes_are_the_wrong_answers_most_confident_first():
    data = planted(3, 300, strengths={"logistic": 1.5})
    cards = gallery.mistakes(filled(data), most=10)
    found = data["runs"][0]["predictions"]
    wrong = [i for i in range(300) if found["true"][i] != found["predicted"][i]]
    expected = sorted(wrong, key=lambda i: -found["confidence"][i])[:10]
    assert [card.image for card in cards] == expected
    card = cards[0]
    assert card.name == data["images"]["paths"][card.image]
    assert dict(card.lines) == {
        "true": data["dataset"]["classes"][found["true"][card.image]],
        "answer": data["dataset"]["classes"][found["predicted"][card.image]],
    }
    assert card.note == f"{100 * found['confidence'][card.image]:.1f} % confident"


def test_an_image_judged_several_times_is_shown_once():
    data = planted(3, 100, strengths={"logistic": 1.0})
    found = data["runs"][0]["predictions"]
    data["runs"][0]["predictions"] = {key: values * 3 for key, values in found.items()}
    images = [card.image for card in gallery.mistakes(filled(data), most=1000)]
    assert (
        len(images) == len(set(images)) == sum(t != p for t, p in zip(found["true"], found["predicted"], strict=True))
    )


def test_no_predictions_no_mistakes():
    data = planted()
    data["runs"][data["best_run"]]["predictions"] = None
    assert gallery.mistakes(filled(data)) == []


def test_suspects_are_the_marked_ones_or_the_likeliest_few():
    data = planted()
    rows = data["wrong_labels"]["suspects"]
    marked = sum(row["suspected"] for row in rows)
    cards = gallery.suspects(filled(data))
    assert [card.image for card in cards] == [row["image"] for row in rows if row["suspected"]] and marked > 0
    for row in rows:
        row["suspected"] = False
    assert len(gallery.suspects(filled(data))) == 6
    data["wrong_labels"] = None
    assert gallery.suspects(filled(data)) == []


def test_leak_examples_take_the_kinds_in_turn():
    data = planted()
    ids = data["images"]["ids"]
    data["leaks"]["examples"] = [
        *({"kind": "near", "a": ids[i], "b": ids[i + 1], "cosine": 0.99} for i in range(10)),
        {"kind": "identical", "a": ids[20], "b": "elsewhere.jpg", "cosine": None},
    ]
    shown = gallery.leak_examples(filled(data), most=4)
    assert [t.kind for t in shown] == ["near", "identical", "near", "near"]
    assert (shown[0].a, shown[0].b, shown[0].likeness) == (0, 1, "cosine of their features 0.990")
    assert (shown[1].a, shown[1].b, shown[1].likeness) == (20, None, "")


def test_every_kind_that_is_found_is_told_in_words():
    data = planted()
    a, b, *_ = data["images"]["ids"]
    source = Path(crossing.__file__).read_text()
    for kind in ("identical", "near", "stem", "look_alike"):
        assert f'"{kind}"' in source
        data["leaks"]["examples"] = [{"kind": kind, "a": a, "b": b, "cosine": 0.9}]
        (shown,) = gallery.leak_examples(filled(data))
        assert shown.spoken.replace(" ", "").replace(",", "").isalpha()


def test_a_pair_is_shown_once():
    data = planted()
    ids = data["images"]["ids"]
    data["leaks"]["examples"] = [
        {"kind": "near", "a": ids[0], "b": ids[1], "cosine": 0.99},
        {"kind": "stem", "a": ids[0], "b": ids[1], "cosine": 0.99},
        {"kind": "near", "a": ids[1], "b": ids[0], "cosine": 0.99},
    ]
    assert [(t.kind, t.a, t.b) for t in gallery.leak_examples(filled(data))] == [("near", 0, 1)]


def test_two_copies_with_each_others_label_are_one_card():
    data = planted()
    ids = data["images"]["ids"]
    row = {"share_label": 0.1, "share_suggested": 0.9, "score": 0.8, "suspected": True}
    data["wrong_labels"]["suspects"] = [
        {"image": 3, "label": 0, "suggested": 1, **row},
        {"image": 7, "label": 1, "suggested": 0, **row},
        {"image": 9, "label": 1, "suggested": 0, **row},
    ]
    data["leaks"]["examples"] = [{"kind": "identical", "a": ids[7], "b": ids[3], "cosine": 1.0}]
    assert [card.image for card in gallery.suspects(filled(data))] == [3, 9]


def test_one_picture_under_two_classes_is_shown_once_and_by_its_classes():
    data = planted()
    ids, classes = data["images"]["ids"], data["dataset"]["classes"]
    data["conflicts"] = [{"a": ids[0], "b": ids[40], "a_label": 0, "b_label": 2}]
    data["leaks"]["examples"] = [
        {"kind": "identical", "a": ids[40], "b": ids[0], "cosine": 1.0},
        {"kind": "near", "a": ids[1], "b": ids[2], "cosine": 0.99},
    ]
    shown = gallery.leak_examples(filled(data))
    assert [(t.kind, t.a, t.b) for t in shown] == [
        (f"one picture as {classes[0]} and {classes[2]}", 0, 40), ("near", 1, 2),
    ]  # fmt: skip
