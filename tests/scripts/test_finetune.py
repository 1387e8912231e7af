"""The command finetune, as a user runs it."""

import json
import re

import pytest

from classifiers.training.learner import Learner
from featstore.extract import extract
from featstore_scripts import options
from featstore_scripts.finetune import finetune
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
QUICK = ["--budget", "quick", "--engine", "eager", "-j", "0", "--groups", "none", "--device", "cpu", "--views", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("finetune")
    write_tree(root / "images", each=10, splits=("train", "test"))
    extract(root / "images", root / "store", engine="eager", workers=0, **NETWORK)
    return root


def run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(finetune, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    first = "looking at the cached features first; how long the training takes is told before it starts\n"
    return ended.value.code, output.out, output.err.removeprefix(first)


def test_it_prints_one_json_document(place, capsys):
    out = place / "a.bundle"
    arguments = [place / "store", place / "images", "-o", out, *QUICK, "--regime", "3", "--epochs", "1", "--json"]
    status, text, _ = run([*arguments, "--unfreeze", "features.9", "--mixup", "0.2", "--seed", "5"], capsys)
    document = json.loads(text)
    assert status == 0 and document["format"] == 1 and document["bundle"] == str(out) and out.is_file()
    assert document["reopen"] == "features.9" and document["cut"] == "features.8" and document["views"] == 1
    assert document["settings"]["seed"] == 5 and document["settings"]["augmentation"]["mixup"] == 0.2
    assert document["epochs"] == 1 and document["input_size"] == 32 and document["weights"] == "random (seed 0)"
    assert 0 <= document["accuracy_cached"] <= 1 and 0 <= document["accuracy_tuned"] <= 1 and 0 <= document["p"] <= 1


def test_it_says_in_words_what_it_did_and_never_writes_over_a_bundle(place, capsys):
    arguments = [place / "store", place / "images", "-o", place / "b.bundle", *QUICK, "--regime", "1", "--epochs", "1"]
    status, text, told = run([*arguments, "--no-augmentation", "--head", "knn"], capsys)
    assert re.match(r"the training will take about \d+ seconds?: 1 epoch of ", told)
    assert status == 0
    assert "input 32 pixels: trained the head only\n" in text and "knn has no gradients" in text
    assert "cached head" in text and "fine-tuned" in text and "on 20 test images; exact McNemar test: p = " in text
    status, _, err = run(arguments, capsys)
    assert status == 1 and "exists already" in err and "--overwrite" in err


def test_a_network_that_was_reopened_at_a_node_is_said_to_be_trained_from_there_on(place, capsys, tmp_path):
    arguments = [place / "store", place / "images", "-o", tmp_path / "b", *QUICK, "--regime", "3", "--epochs", "1"]
    status, text, _ = run([*arguments, "--unfreeze", "features.9"], capsys)
    assert status == 0 and "input 32 pixels: trained features.9 and everything behind it\n" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--unfreeze", "features.77"], "unknown place to reopen mobilenet_v3_small at 'features.77'"),
        (["--backbone", "resnet18"], "holds no features with --backbone resnet18"),
        (["--valid-fraction", "0"], "no validation part"),
        (["--dataset", "imagez"], "close matches: images"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(place, capsys, tmp_path, arguments, sentence):
    status, out, err = run(
        [place / "store", place / "images", "-o", tmp_path / "c", *QUICK, "--regime", "3", *arguments], capsys
    )
    wrong_name = "unknown " in err
    assert status == 1 + wrong_name and sentence in err and err.count("\n") == 1 and out == ""


@pytest.mark.parametrize(("step", "left"), [(2, "so far stays in {}; the same command goes on"), (0, "had not begun")])
def test_ctrl_c_says_what_stays_and_the_same_command_goes_on(place, capsys, tmp_path, monkeypatch, step, left):
    arguments = [place / "store", place / "images", "-o", tmp_path / "b", *QUICK, "--regime", "1", "--epochs", "3"]
    with monkeypatch.context() as patched:
        inner = Learner.step

        def interrupted(self, rows, epoch, at):
            if epoch == step:
                raise KeyboardInterrupt
            return inner(self, rows, epoch, at)

        if step:
            patched.setattr(Learner, "step", interrupted)
        else:
            patched.setattr(Learner, "__init__", interrupted_at_once)
        status, _, err = run(arguments, capsys)
    assert status == 130 and f"The training {left.format(tmp_path / 'b.checkpoints')}" in err
    assert "Interrupted." in err and not (tmp_path / "b").exists()
    status, text, err = run([*arguments, "--head-rate", "0.5"], capsys)
    if step:
        assert status == 1
        assert "head rate was 0.0003, now 0.5. Give the same options to go on with it, or --restart" in err
        status, text, _ = run(arguments, capsys)
        assert "note: went on after epoch 2 of an interrupted run" in text
    assert status == 0 and (tmp_path / "b").is_file() and not (tmp_path / "b.checkpoints").exists()


def interrupted_at_once(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments", [["--regime", "5"], ["--epochs", "0"], ["--label-smoothing", "1"], ["--node", "a", "--node", "b"]]
)
def test_wrong_usage_is_status_2(place, capsys, tmp_path, arguments):
    status, _, _ = run([place / "store", place / "images", "-o", tmp_path / "c", *arguments], capsys)
    assert status == 2


def test_a_folder_that_is_no_store(place, capsys, tmp_path):
    status, _, err = run([tmp_path, place / "images", "-o", tmp_path / "c"], capsys)
    assert status == 1 and err.count("\n") == 1
