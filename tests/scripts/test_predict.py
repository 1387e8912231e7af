"""The command predict, as a user runs it."""

import csv
import io
import json
import subprocess
import sys

import pytest

from featstore.extract import extract
from featstore_scripts import options
from featstore_scripts.predict import predict
from featstore_scripts.train import train
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict")
    write_tree(root / "images", each=6, splits=("train", "test"))
    extract(root / "images", root / "store", engine="eager", workers=0, nodes=("features.3", "avgpool"), **NETWORK)
    return root


def run(command, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(command, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.fixture(scope="module")
def bundle(place):
    with pytest.raises(SystemExit) as ended:
        options.run(train, [str(place / "store"), "--node", "avgpool", "--budget", "quick", "-o", str(place / "b")])
    assert ended.value.code == 0
    return place / "b"


def test_predict_writes_csv(place, bundle, capsys):
    status, out, err = run(predict, [bundle, place / "images" / "test", "--engine", "eager", "--top", "2"], capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0 and err == "" and len(rows) == 12
    assert set(rows[0]) == {"image", "class", "probability", "class_2", "probability_2"}
    assert all({row["class"], row["class_2"]} == {"ants", "bees"} for row in rows)
    assert all(float(row["probability"]) >= float(row["probability_2"]) for row in rows)


def test_predict_prints_one_json_document_with_failures(place, bundle, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    image = place / "images" / "test" / "ants" / "000.jpg"
    status, out, _ = run(predict, [bundle, image, tmp_path, "--engine", "eager", "-j", "0", "--json"], capsys)
    document = json.loads(out)
    assert status == 0 and document["format"] == 1
    assert [p["image"] for p in document["predictions"]] == [str(image)]
    assert document["failed"][0]["image"].endswith("bad.jpg") and document["failed"][0]["reason"]


def test_predict_writes_to_a_file_and_never_over_one(place, bundle, capsys, tmp_path):
    arguments = [bundle, place / "images" / "test", "--engine", "eager", "-j", "0", "-o", tmp_path / "out.csv"]
    status, out, _ = run(predict, arguments, capsys)
    assert status == 0 and out == ""
    before = (tmp_path / "out.csv").read_text()
    assert before.startswith("image,class,probability\n") and before.count("\n") == 13
    status, _, err = run(predict, arguments, capsys)
    assert status == 1 and "exists already" in err
    assert (tmp_path / "out.csv").read_text() == before
    assert run(predict, [*arguments, "--overwrite"], capsys)[0] == 0


def test_nothing_that_can_be_classified_is_a_failure_with_reasons(bundle, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    status, out, err = run(predict, [bundle, tmp_path, "--engine", "eager", "-j", "0"], capsys)
    assert status == 1 and out == "image,class,probability\n"
    assert "failed: " in err and "bad.jpg" in err and "none of 1 images could be classified" in err


def test_no_bundle_is_one_sentence(capsys, tmp_path):
    (tmp_path / "b").write_bytes(b"nothing")
    status, _, err = run(predict, [tmp_path / "b", tmp_path], capsys)
    assert status == 1 and "is no bundle" in err
    status, _, err = run(predict, [tmp_path / "none", tmp_path], capsys)
    assert status == 1 and "no bundle at" in err


def test_help_is_quick_and_complete():
    done = subprocess.run(
        [sys.executable, "-m", "featstore_scripts.main", "predict", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "Usage" in done.stdout and "--overwrite" in done.stdout
