import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from classifiers.report.leaderboard import Leaderboard
from classifiers.report.report import Report
from classifiers.report.report_data import filled
from classifiers.report.verdict import verdict
from featstore.errors import ReportError, ReportNotFoundError, StoreWriteError
from tests.support.report_example import planted

SETS = ({}, {"node": "features.12", "feature_key": "1" * 16, "weights": "random (seed 0)"})


@pytest.fixture(scope="module")
def data():
    return planted(5, 150, sets=SETS)


def plain(page: str) -> str:
    """What a reader sees of an HTML page: no tags, scripts and styles, single spaces."""
    page = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def unescaped(markdown: str) -> str:
    return re.sub(r"\\([^\w\s])", r"\1", markdown).replace("\u200b", "").replace("`", "")


def test_every_rendering_carries_the_same_numbers(data):
    report = Report(data)
    renderings = [
        report.to_text(),
        unescaped(report.to_markdown()),
        plain(report.to_html()),
        plain(report._repr_html_()),
    ]
    renderings = [" ".join(text.split()) for text in renderings]
    for row in Leaderboard(filled(data)).rows:
        figures = list(row.cells.values())
        for text in renderings:
            at = [text.find(figures[0], m.end()) for m in re.finditer(re.escape(row.name), text)]
            assert any(all(figure in text[start : start + 400] for figure in figures) for start in at if start >= 0), (
                f"{row.name} {figures}"
            )
    for sentence in verdict(data):
        shown = sentence.removeprefix("Next: ").replace("`", "")
        for text in renderings[:3]:
            assert shown[1:] in re.sub(r" (?=[,.):])|(?<=\() ", "", text.replace("`", "")), sentence


def test_hundred_per_cent_is_printed_only_when_exact():
    data = planted(2, 10_000, strengths={"logistic": 30.0})
    run = data["runs"][0]
    wrong = run["predictions"]["predicted"]
    wrong[0] = 1 - wrong[0]
    run["confusion"] = [[4999, 1], [0, 5000]]
    run.update(accuracy=0.9999, accuracy_ci=[0.99943, 0.99998], balanced_accuracy=0.9999, macro_f1=0.9999,
               top3_accuracy=0.9999, cv_accuracy=0.9999, ece=0.0001)  # fmt: skip
    report = Report(data)
    for text in (report.to_text(), report.to_markdown(), plain(report.to_html()), plain(report._repr_html_())):
        line = text[text.find("accuracy %") :]
        row = line[line.find("logistic") :][:120]
        assert "99.9" in row
        assert "100.0" not in row


def test_json_is_the_data_and_survives_a_round_trip(data, tmp_path):
    report = Report(data)
    assert json.loads(report.to_json()) == data
    report.write(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    again = Report.load(tmp_path / "new" / "folder")
    assert again.data == data
    assert again.to_markdown() == report.to_markdown()
    assert Report.load(tmp_path / "new" / "folder" / "report.json").to_html() == report.to_html()


def test_a_path_that_is_no_unicode_survives(tmp_path):
    data = planted()
    data["images"]["paths"][data["wrong_labels"]["suspects"][0]["image"]] = b"caf\xe9.jpg".decode(
        "utf-8", "surrogateescape"
    )
    Report(data).write(tmp_path)
    assert Report.load(tmp_path).data == data
    assert "caf\\xe9.jpg" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_stable_keys_alone_are_enough():
    data = planted()
    stable = {
        "head", "backbone", "node", "weights", "feature_key", "params", "selected_on", "accuracy", "accuracy_ci",
        "top3_accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "confusion", "search_seconds",
        "fit_seconds", "predict_seconds", "converged",
    }  # fmt: skip
    small = {
        "format": 1,
        "dataset": {key: data["dataset"][key] for key in ("name", "classes", "train", "test")},
        "runs": [{key: run[key] for key in stable} for run in data["runs"]],
        "comparisons": [{key: pair[key] for key in ("a", "b", "test", "p", "p_holm")} for pair in data["comparisons"]],
        "best": "logistic",
        "environment": {},
    }
    report = Report(small)
    for text in (report.to_text(), report.to_markdown(), plain(report.to_html())):
        assert "Use logistic" in text
        assert "knn" in text
    assert report.to_html().count("<h3>Largest confusions</h3>") == 3  # logistic makes no mistake


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "report format 2, this version of featstore reads format 1; upgrade"),
        (lambda d: d.update(format=0), "report format 0.*run featstore compare again"),
        (lambda d: d.pop("runs"), "is no report"),
        (lambda d: d.update(runs=[]), "has no runs"),
        (lambda d: d.pop("best"), "lacks 'best'"),
        (lambda d: d.update(best="nobody"), "'nobody' the best head, but its runs are logistic, svm, knn, majority"),
        (lambda d: d["dataset"].update(train="many"), r"dataset has 'train' of type str, expected int"),
        (lambda d: d["runs"][1].pop("accuracy"), r"runs\[1\] lacks 'accuracy'"),
        (lambda d: d["runs"][1].update(accuracy=float("nan")), r"runs\[1\] has 'accuracy' of type float"),
        (lambda d: d["runs"][1].update(accuracy=94.0), r"accuracy 94.0, expected a share"),
        (lambda d: d["runs"][1].update(accuracy_ci=[0.9, 0.8]), r"accuracy_ci \[0.9, 0.8\]"),
        (lambda d: d["runs"][0].update(confusion=[[1, 2]]), "not 3 x 3"),
        (lambda d: d["comparisons"][0].update(p="small"), r"comparisons\[0\] has 'p' of type str"),
    ],
)
def test_what_is_no_report_is_refused_with_the_reason(change, message):
    data = planted()
    change(data)
    with pytest.raises(ReportError, match=message):
        Report(data)


def test_load_says_what_is_wrong_with_the_file(tmp_path):
    with pytest.raises(ReportNotFoundError, match=r"report.json does not exist; featstore compare"):
        Report.load(tmp_path)
    (tmp_path / "report.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReportError, match="no JSON document"):
        Report.load(tmp_path)
    (tmp_path / "report.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReportError, match="no JSON document"):
        Report.load(tmp_path)
    (tmp_path / "report.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ReportError, match="no JSON document"):
        Report.load(tmp_path)
    (tmp_path / "report.json").write_text('{"format": 7, "runs": []}', encoding="utf-8")
    with pytest.raises(ReportError, match=r"report\.json has report format 7.*upgrade"):
        Report.load(tmp_path)


def test_a_refusing_disk_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("here is no folder")
    with pytest.raises(StoreWriteError):
        Report(planted()).write(tmp_path / "file")


def test_names_from_outside_stay_text():
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "evil\u202egnp.exe", "a|b`*c*_d_")
    data = planted(4, 80, classes=names)
    data["dataset"]["name"] = "</title><script>alert(3)</script>"
    data["warnings"] = [{"kind": "class", "text": "class <b>bold</b> `x` has 3 images"}]
    data["images"]["paths"][0] = "</script><script>alert(4)</script>.jpg"
    page = Report(data).to_html()
    assert len(re.findall(r"<script\b", page)) == 2
    assert "<img" not in page and "<b>bold" not in page and "\u202e" not in page
    assert "<script>alert(1)</script>" in plain(page)
    markdown = Report(data).to_markdown()
    assert re.search(r"(?<!\\)<script", markdown) is None
    heads = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in heads} <= {13, 5, 8}
    assert "\u202e" not in Report(data).to_text()


def test_random_weights_are_said_loudly_everywhere(data):
    report = Report(data)
    for text in (report.to_text(), report.to_markdown(), plain(report.to_html()), plain(report._repr_html_())):
        assert "seeded random weights" in text
        assert "random (seed 0)" in text.replace("\\", "")
    pretrained = Report(planted())
    for text in (pretrained.to_text(), pretrained.to_markdown(), pretrained.to_html()):
        assert "random weights" not in text.lower()


def test_the_page_holds_everything_and_asks_for_nothing(data):
    page = Report(data).to_html()
    addresses = re.findall(r"""(?:\bsrc=|\bhref=|\burl\()["']?([^"')\s>]+)""", page)
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert "default-src 'none'" in page


def test_the_page_of_a_thousand_images_stays_under_three_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    data = planted(37, 1000, strengths={f"head_{i}": 4.0 + i / 10 for i in range(7)})
    data["dataset"]["root"] = str(tmp_path)
    noise = Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.jpg", quality=90)
    data["images"]["paths"] = ["noise.jpg"] * 1000
    page = Report(data).to_html()
    assert len(page.encode()) < 3_000_000
    assert page.count("data:image/webp") > 20


def test_thumbnails_that_cannot_be_made_leave_the_report_whole(tmp_path):
    data = planted()
    data["dataset"]["root"] = str(tmp_path)
    first, second = data["wrong_labels"]["suspects"][0]["image"], data["wrong_labels"]["suspects"][1]["image"]
    for image, content in ((first, None), (second, b"no image at all")):
        path = tmp_path / data["images"]["paths"][image]
        path.parent.mkdir(exist_ok=True)
        if content is None:
            Image.new("RGB", (40, 30), "red").save(path)
        else:
            path.write_bytes(content)
    page = Report(data).to_html()
    assert page.count('<img src="data:image/webp') >= 1
    assert "no picture" in page


def test_repr_is_one_line():
    assert repr(Report(planted())) == "<Report of 'planted': 4 runs, best 'logistic'>"


def test_text_never_cuts_a_figure(data):
    assert "…" not in Report(data).to_text(width=40)
