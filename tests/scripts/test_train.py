"""The command train, as a user runs it."""

import json
import subprocess
import sys

import pytest

from featstore.extract import extract
from featstore_scripts import options
from featstore_scripts.train import train
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("route")
    write_tree(root / "images", each=6, splits=("train", "test"))
    extract(root / "images", root / "store", engine="eager", workers=0, nodes=("features.3", "avgpool"), **NETWORK)
    return root


def run(command, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(command, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


def test_train_says_what_it_did(place, capsys):
    arguments = [place / "store", "--head", "svm", "--node", "avgpool", "--budget", "quick", "-o", place / "svm"]
    status, out, _ = run(train, arguments, capsys)
    assert status == 0 and (place / "svm").is_file()
    assert "svm on mobilenet_v3_small avgpool (576 numbers, weights random (seed 0)), 12 images, 2 classes" in out
    assert "5-fold cross-validation" in out and "on 12 test images" in out
    assert "random, not pretrained" in out
    status, _, err = run(train, arguments, capsys)
    assert status == 1 and "exists already" in err and "--overwrite" in err


def test_train_prints_one_json_document(place, capsys):
    arguments = [place / "store", "--node", "features.3", "--head", "knn", "-o", place / "knn", "--json", "--seed", "3"]
    status, out, _ = run(train, arguments, capsys)
    document = json.loads(out)
    assert status == 0 and document["format"] == 1 and document["head"] == "knn" and document["seed"] == 3
    assert document["node"] == "features.3" and document["classes"] == ["ants", "bees"]
    assert 0 <= document["accuracy"] <= 1 and len(document["feature_key"]) == 16


def test_two_feature_sets_where_one_was_meant(place, capsys):
    status, _, err = run(train, [place / "store", "-o", place / "c"], capsys)
    assert status == 1 and "2 feature sets" in err and "--node avgpool" in err and not (place / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--head", "logistik"], "close matches: logistic"),
        (["--head", "pixels"], "unknown head 'pixels'; known: logistic, svm"),
        (["--dataset", "imagess"], "imagess"),
        (["--backbone", "resnet18"], "holds no features with --backbone resnet18"),
    ],
)
def test_what_is_not_there_is_one_sentence(place, capsys, arguments, sentence):
    status, _, err = run(train, [place / "store", "--node", "avgpool", "-o", place / "c", *arguments], capsys)
    wrong_name = "unknown " in err
    assert status == 1 + wrong_name and sentence in err and err.count("\n") == 1


def test_help_is_quick_and_complete():
    done = subprocess.run(
        [sys.executable, "-m", "featstore_scripts.main", "train", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "Usage" in done.stdout and "--overwrite" in done.stdout


def test_a_class_with_fewer_images_than_folds_is_refused_unless_allowed(place, tmp_path, capsys):
    write_tree(tmp_path / "few", each=3)
    extract(tmp_path / "few", tmp_path / "store", engine="eager", workers=0, **NETWORK)
    arguments = [tmp_path / "store", "--head", "centroid", "-o"]
    status, _, err = run(train, [*arguments, tmp_path / "a"], capsys)
    refusal = "2 classes have fewer training images than the 5 folds of the cross-validation: 'ants' (3) and 'bees' (3)"
    assert status == 1 and refusal in err and "--folds 3" in err and not (tmp_path / "a").exists()
    arguments.insert(1, "--allow-few")
    status, out, _ = run(train, [*arguments, tmp_path / "a"], capsys)
    sentence = "2 classes have fewer training images than the 5 folds, so that not every fold judges them"
    assert status == 0 and f"note: {sentence}: 'ants' (3) and 'bees' (3)" in " ".join(out.split())
    status, out, _ = run(train, [*arguments, tmp_path / "b", "--json"], capsys)
    assert status == 0 and json.loads(out)["notes"][0].startswith(sentence)
    status, out, _ = run(train, [*arguments, tmp_path / "c", "--json", "--folds", "3"], capsys)
    assert status == 0 and json.loads(out)["notes"] == []
