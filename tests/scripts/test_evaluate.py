"""The command evaluate, as a user runs it."""

import json
import shutil
import zipfile

import pytest

from classifiers import Report
from featstore.extract import extract
from featstore_scripts import options
from featstore_scripts.evaluate import evaluate
from featstore_scripts.train import train
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
MACHINE = ["--engine", "eager", "-j", "0", "-q"]


def run(command, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(command, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    write_tree(root / "images", each=6, splits=("train", "test"))
    write_tree(root / "new", each=5, seed=900)
    extract(root / "images", root / "store", engine="eager", workers=0, **NETWORK)
    with pytest.raises(SystemExit):
        options.run(train, [str(root / "store"), "--head", "logistic", "--budget", "quick", "-o", str(root / "b")])
    return root


def test_new_images_are_judged_and_the_report_is_that_of_compare_with_one_head(place, tmp_path, capsys):
    status, out, err = run(evaluate, [place / "b", place / "new", "-o", tmp_path / "r", *MACHINE], capsys)
    assert status == 0, err
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["report.html", "report.json", "report.md"]
    report = Report.load(tmp_path / "r")
    assert [r["head"] for r in report.data["runs"] if not r["reference"]] == ["logistic"]
    assert report.data["runs"][0]["n_test"] == 10
    assert f"Report: {tmp_path / 'r' / 'report.html'}" in out
    assert "judged on 10 images" in err and "new: 10 images" in err


def test_the_judgement_is_that_of_predict(place, tmp_path, capsys):
    from classifiers.models import load_bundle, predict_images

    status, out, err = run(evaluate, [place / "b", place / "new", "-o", tmp_path / "r", "--json", *MACHINE], capsys)
    document = json.loads(out)
    assert status == 0 and document == json.loads((tmp_path / "r" / "report.json").read_text())
    found = predict_images(load_bundle(place / "b"), [place / "new"], engine="eager", workers=0)
    right = sum(image.split("/")[-2] == best[0][0] for image, best in zip(found.images, found.top(), strict=True))
    assert document["runs"][0]["accuracy"] == pytest.approx(right / 10)


@pytest.mark.parametrize(
    ("part", "count", "said"),
    [
        (None, 12, "judged on 12 images of the part test"),
        ("test", 12, "judged on 12 images of the part test"),
        ("train", 12, "judged on 12 images of the part train"),
        ("all", 24, "judged on 24 images, those of train and test together"),
    ],
)
def test_the_part_that_judges_is_said_and_can_be_chosen(place, tmp_path, capsys, part, count, said):
    arguments = [
        place / "b",
        place / "images",
        "-o",
        tmp_path / "r",
        *MACHINE,
        *([] if part is None else ["--part", part]),
    ]
    status, _, err = run(evaluate, arguments, capsys)
    assert status == 0 and said in err
    assert Report.load(tmp_path / "r").data["runs"][0]["n_test"] == count


def test_a_part_that_is_not_there_is_one_sentence_and_leaves_nothing_behind(place, tmp_path, capsys):
    arguments = [place / "b", place / "new", "-o", tmp_path / "r", "--part", "val", *MACHINE]
    status, out, err = run(evaluate, arguments, capsys)
    assert status == 1 and out == "" and not (tmp_path / "r").exists()
    assert "has no images in val: it has no parts; leave out --part" in err


def test_a_zip_and_a_list_are_judged_as_their_folder(place, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for path in sorted((place / "new").rglob("*.jpg")):
            archive.write(path, path.relative_to(place / "new"))
    rows = [f"{path.parent.name}/{path.name};{path.parent.name}" for path in sorted((place / "new").rglob("*.jpg"))]
    (tmp_path / "new.csv").write_text("\n".join(["file;kind", *rows]))
    accuracies = set()
    list_options = ["--path-column", "file", "--label-column", "kind", "--root", place / "new"]
    for data, more in ((place / "new", []), (tmp_path / "new.zip", []), (tmp_path / "new.csv", list_options)):
        status, out, err = run(
            evaluate, [place / "b", data, "-o", tmp_path / "r", "--json", "--overwrite", *more, *MACHINE], capsys
        )
        assert status == 0, err
        accuracies.add(json.loads(out)["runs"][0]["accuracy"])
    assert len(accuracies) == 1


def test_classes_that_the_bundle_does_not_know_are_one_sentence(place, tmp_path, capsys):
    shutil.copytree(place / "new" / "ants", tmp_path / "new" / "wasps")
    shutil.copytree(place / "new" / "bees", tmp_path / "new" / "bees")
    status, _, err = run(evaluate, [place / "b", tmp_path / "new", "-o", tmp_path / "r", *MACHINE], capsys)
    assert status == 1 and "wasps" in err and not (tmp_path / "r").exists()


def test_a_report_is_never_replaced_unasked(place, tmp_path, capsys):
    arguments = [place / "b", place / "new", "-o", tmp_path / "r", *MACHINE]
    assert run(evaluate, arguments, capsys)[0] == 0
    status, _, err = run(evaluate, arguments, capsys)
    assert status == 1 and "add --overwrite" in err
    assert run(evaluate, [*arguments, "--overwrite"], capsys)[0] == 0


def test_that_classifiers_need_two_classes_is_not_said_of_images_to_judge_on(place, tmp_path, capsys):
    shutil.copytree(place / "new" / "ants", tmp_path / "one" / "ants")
    status, _, err = run(evaluate, [place / "b", tmp_path / "one", "-o", tmp_path / "r", *MACHINE], capsys)
    assert status == 0 and "need two" not in err
    assert not any("need two" in warning["text"] for warning in Report.load(tmp_path / "r").data["warnings"])
