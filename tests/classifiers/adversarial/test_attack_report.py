"""The document and the page of an attack, read back with plain json and Pillow."""

import base64
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.attack_report import AttackReport, summary
from classifiers.adversarial.example import AdversarialExample
from tests.support.pictures import texture

ABOUT = {"description": "logistic on resnet18", "classes": 3}


def result(image="in/cat.png", **changes):
    fields = {
        "image": image, "true": "cats", "labelled": True, "before": "cats", "before_probability": 0.75,
        "target": None, "after": "dogs", "confidence": 0.625, "attempted": True, "success": True, "linf": 4 / 255,
        "l2": 0.5, "ssim": 0.96875, "within": True, "steps": 40, "saved": None, "picture": None, "notes": (),
    }  # fmt: skip
    return AdversarialExample(**(fields | changes))


MISSED = {"success": False, "after": "cats"}
SKIPPED = {"attempted": False, "success": False}


def pictured(folder, name, number):
    place = folder / f"{name}-change.png"
    Image.fromarray(texture(number, 30, 20)).save(place)
    return place


def lead_of(html):
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html.split("</h1>")[1].split("<h2")[0]))


def test_the_document_holds_every_result_and_counts_what_was_attempted(tmp_path):
    results = [result(saved=tmp_path / "a.png"), result("in/b.png", **MISSED), result("in/c.png", **SKIPPED)]
    report = AttackReport(tmp_path, Attack(epsilon=8 / 255, steps=12, seed=3), ABOUT, notes=("a note",))
    report.write(results, [("in/d.png", "cannot be decoded")], left=5)
    text = (tmp_path / "attack.json").read_text()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert text.endswith("}\n") and document == report.document(results, [("in/d.png", "cannot be decoded")], 5)
    assert (document["format"], document["attempted"], document["left"]) == (1, 2, 5)
    assert document["success_rate"] == 0.5 and document["classifier"] == ABOUT and document["notes"] == ["a note"]
    assert document["failed"] == [{"image": "in/d.png", "reason": "cannot be decoded"}]
    assert [entry["image"] for entry in document["results"]] == ["in/cat.png", "in/b.png", "in/c.png"]
    first = document["results"][0]
    assert (first["true"], first["target"], first["after"], first["confidence"]) == ("cats", None, "dogs", 0.625)
    assert first["linf"] == 4 / 255 and first["saved"] == str(tmp_path / "a.png") and first["picture"] is None
    assert document["attack"] == {"method": "pgd", "norm": "linf", "epsilon": 8 / 255, "steps": 12, "restarts": 1,
                                  "goal": "cross-entropy", "seed": 3}  # fmt: skip


def test_a_run_that_is_cut_short_leaves_what_it_had_and_the_next_writing_replaces_it(tmp_path):
    report = AttackReport(tmp_path, Attack(), ABOUT)
    report.write([result()], [], left=2)
    with pytest.raises(ValueError, match="not JSON compliant"):
        report.write([result(ssim=float("nan"))], [])
    assert json.loads((tmp_path / "attack.json").read_bytes())["left"] == 2
    report.write([result(), result(**MISSED)], [])
    assert json.loads((tmp_path / "attack.json").read_bytes())["success_rate"] == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["attack.json"]


def test_what_was_written_before_it_was_broken_off_is_made_a_page_and_told(tmp_path):
    report = AttackReport(tmp_path, Attack(), ABOUT, skipped=[("in/x.txt", "no image")])
    assert report.cut_short() == "nothing was finished and nothing was written"
    report.write([result()], [("in/d.png", "cannot be decoded")], left=2)
    assert report.cut_short() == f"1 image done, 2 not reached: what there is lies in {tmp_path / 'attack.html'}"
    html = (tmp_path / "attack.html").read_text()
    assert "2 images not reached" in html and html.index("in/d.png") < html.index("in/x.txt")
    failed = json.loads((tmp_path / "attack.json").read_bytes())["failed"]
    assert [entry["image"] for entry in failed] == ["in/d.png", "in/x.txt"]


def test_without_an_attempt_there_is_no_rate(tmp_path):
    document = AttackReport(tmp_path, Attack(), ABOUT).document([result(**SKIPPED)], [])
    assert document["success_rate"] is None and document["attempted"] == document["left"] == 0


def test_the_page_holds_the_pictures_of_the_folder_without_loss(tmp_path):
    names = ["one", "two"]
    results = [result(f"in/{name}.png", picture=pictured(tmp_path, name, i)) for i, name in enumerate(names)]
    place = AttackReport(tmp_path, Attack(), ABOUT).write_page([*results, result("in/none.png", **SKIPPED)], [])
    html = place.read_text()
    assert place == tmp_path / "attack.html"
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    assert len(found) == 2
    for i, data in enumerate(found):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), texture(i, 30, 20))
    assert "one.png" in html and "two.png" in html and "none.png" not in html and "Not read" not in html
    assert re.search(r"(src|href)=.(?!data:|#)|url\(", html) is None, "everything is inside, nothing is fetched"


def test_a_caption_says_how_it_ended_and_how_large_the_change_is(tmp_path):
    kinds = {"Fooled": {}, "Not fooled": MISSED, "Not counted": SKIPPED}
    for i, (word, change) in enumerate(kinds.items()):
        one = result(picture=pictured(tmp_path, word, i), **change)
        html = AttackReport(tmp_path, Attack(), ABOUT).write_page([one], []).read_text().replace("&gt;", ">")
        assert (
            f"{word}: cats 0.750 -> {one.after} 0.625; largest change 4 grey levels, length 0.50, SSIM 0.9688" in html
        )


def test_names_and_reasons_are_only_text(tmp_path):
    evil = "<script>alert(1)</script>"
    one = result(f"in/{evil[:8]}.png", picture=pictured(tmp_path, "x", 0), after=evil, notes=(f"said {evil}",))
    report = AttackReport(tmp_path, Attack(), ABOUT | {"description": evil}, notes=(evil,))
    html = report.write_page([one], [(f"in/{evil}", evil)]).read_text()
    assert evil not in html and html.count("&lt;script&gt;alert(1)") >= 5


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (Attack(epsilon=4 / 255, steps=1, seed=2), "pgd in L-infinity within 4/255, 1 step, seed 2."),
        (Attack(method="fgsm", epsilon=2 / 255), "fgsm in L-infinity within 2/255, 1 step, seed 0."),
        (Attack(norm="l2", epsilon=0.5, steps=7), "pgd in L2 within 0.5, 7 steps, seed 0."),
        (Attack(method="descent", seed=9), "Gradient descent without a bound, at most 200 steps, seed 9."),
    ],
)
def test_the_page_opens_with_who_was_attacked_how_and_what_came_of_it(attack, words, tmp_path):
    html = AttackReport(tmp_path, attack, ABOUT, notes=("slow",)).write_page([result()], [("b.png", "empty")], 1)
    lead = lead_of(html.read_text())
    assert f"logistic on resnet18. {words} Success on 100.0 % of 1 image that the classifier got right." in lead
    assert "The run was cut short: 1 image not reached. Note: slow." in lead
    page = html.read_text()
    assert page.index("Not read") < page.index("b.png") < page.index("empty")


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([], "There was no image to attack."),
        ([result(**SKIPPED)], "There was no image to attack."),
        ([result(), result(**MISSED), result(**SKIPPED)], "Success on 50.0 % of 2 images that the classifier got "
         "right."),
        ([result(labelled=False)], "Success on 100.0 % of 1 image, without a label: taken away from what the "
         "classifier said at first."),
        ([result(labelled=False), result(), result(labelled=False, **MISSED)], "Success on 66.7 % of 3 images, 2 of "
         "them without a label: taken away from what the classifier said at first."),
    ],
)  # fmt: skip
def test_the_rate_is_said_with_what_it_is_a_share_of(results, sentence):
    assert summary(results) == sentence


@given(st.lists(st.sampled_from([{}, MISSED, SKIPPED]), max_size=40))
def test_for_any_outcome_page_and_document_agree_on_the_share(outcomes):
    results = [result(**outcome) for outcome in outcomes]
    fooled, attempted = outcomes.count({}), len(outcomes) - outcomes.count(SKIPPED)
    document = AttackReport(None, Attack(), ABOUT).document(results, [])
    assert document["attempted"] == attempted
    if not attempted:
        assert document["success_rate"] is None and summary(results) == "There was no image to attack."
    else:
        assert document["success_rate"] == fooled / attempted
        assert f"Success on {100 * fooled / attempted:.1f} % of {attempted} image" in summary(results)
