import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from classifiers.bundle import load_bundle
from classifiers.frame import Frame
from classifiers.network import ImageClassifier
from classifiers.prediction import predict_images
from featstore.errors import AttackError, DecodeError, NoGradientError, UnknownNameError
from featstore_scripts.attack import attack
from tests.lookkit import save_tint_bundle, tinted, write_tinted

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A bundle, and an image folder with a test part."""
    folder = tmp_path_factory.mktemp("attack")
    save_tint_bundle(folder / "tints.bundle")
    write_tinted(folder / "data", each=4, split="test")
    write_tinted(folder / "data", each=2, split="train", first=50)
    return folder


def run(*arguments, ok=True):
    result = CliRunner().invoke(attack, [str(argument) for argument in arguments])
    if ok:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


def attacked(place, out, *more) -> dict:
    red = place / "data" / "test" / "red"
    result = run(red, "--bundle", place / "tints.bundle", "-o", out, "--steps", 20, "--quiet", "--json", *more)
    return json.loads(result.stdout)


def test_predict_is_fooled_by_the_saved_files(place, tmp_path):
    document = attacked(place, tmp_path, "--target", "blue", "--epsilon", "64/255")
    assert document["format"] == 1 and document["success_rate"] == 1 and document["attempted"] == 4
    assert {r["true"] for r in document["results"]} == {"red"}
    said = predict_images(load_bundle(place / "tints.bundle"), [r["saved"] for r in document["results"]], workers=0)
    assert [name for ((name, _),) in said.top(1)] == ["blue"] * 4
    for result, ((_, probability),) in zip(document["results"], said.top(1), strict=True):
        assert result["confidence"] == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize("epsilon", ["4/255", "0.0157"])
def test_epsilon_is_kept_by_the_files(place, tmp_path, epsilon):
    document = attacked(place, tmp_path, "--epsilon", epsilon)
    bundle = ImageClassifier.from_bundle(place / "tints.bundle")
    for result in document["results"]:
        before = Frame.open(result["image"], bundle.transform).pixels.astype(int)
        after = Frame.open(result["saved"], bundle.transform).pixels
        assert 0 < np.abs(after - before).max() <= 4
        assert result["linf"] <= 4 / 255 + 1e-9 and result["within"]


def test_epsilon_zero_returns_the_image(place, tmp_path):
    document = attacked(place, tmp_path, "--epsilon", "0")
    assert all(r["linf"] == r["l2"] == 0 and not r["success"] for r in document["results"])
    assert document["success_rate"] == 0


@pytest.mark.parametrize("method", ["fgsm", "descent"])
def test_the_other_methods_run_in_the_other_norm(place, tmp_path, method):
    document = attacked(place, tmp_path, "--method", method, "--norm", "l2", "--epsilon", "2")
    assert document["attack"]["method"] == method
    if method == "fgsm":
        assert all(r["l2"] <= 2 for r in document["results"])
    else:
        assert document["attack"]["epsilon"] is None and document["success_rate"] == 1


def test_the_same_seed_gives_the_same_files(place, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        attacked(place, tmp_path / name, "--seed", seed, "--epsilon", "4/255")
    files = [[p.read_bytes() for p in sorted((tmp_path / n).glob("*attacked.png"))] for n in "abc"]
    assert files[0] == files[1]
    pixels = [Frame.open(next((tmp_path / n).glob("*attacked.png")), _spec(place)).pixels for n in "ac"]
    assert (pixels[0] != pixels[1]).any()


def _spec(place):
    return ImageClassifier.from_bundle(place / "tints.bundle").transform


def test_without_json_each_image_has_a_line(place, tmp_path):
    red = place / "data" / "test" / "red"
    result = run(red, "--bundle", place / "tints.bundle", "-o", tmp_path, "--epsilon", "64/255", "--steps", 5, "-q")
    assert result.stdout.count("fooled: red") == 4
    assert "success on 100.0 % of 4 images that the classifier got right" in result.stdout


def test_an_image_that_is_wrong_already_is_said(place, tmp_path):
    red = place / "data" / "test" / "red" / "red0.png"
    result = run(red, "--true", "blue", "--bundle", place / "tints.bundle", "-o", tmp_path, "-q")
    assert "not counted" in result.stdout and "gets the original wrong: red, not blue" in result.stdout


def test_a_data_set_gives_a_falling_curve(place, tmp_path):
    result = run(
        "--dataset", place / "data", "--bundle", place / "tints.bundle", "--epsilons", "2/255,16/255,64/255",
        "--steps", 10, "-o", tmp_path, "-q", "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    accuracy = [point["accuracy"] for point in document["curve"]]
    assert document["part"] == "the 8 images of the test part" and document["images"] == 8 and len(accuracy) == 4
    assert accuracy == sorted(accuracy, reverse=True) and accuracy[0] == 1 and accuracy[-1] == 0
    assert {p.name for p in tmp_path.iterdir()} == {"robustness.json", "robustness.html", "robustness.png"}
    assert json.loads((tmp_path / "robustness.json").read_text()) == document
    text = run(
        "--dataset", place / "data", "--bundle", place / "tints.bundle", "--epsilons", "2/255", "--limit", 3,
        "--steps", 2, "-o", tmp_path / "few", "-q",
    ).stdout  # fmt: skip
    assert "3 of the 8 images of the test part: pgd in linf" in text and "2/255" in text


def test_the_clean_accuracy_is_that_of_predict(place, tmp_path):
    # half of the pictures lie in the wrong folder
    mixed = tmp_path / "mixed"
    for i in range(6):
        for name in ("red", "blue"):
            (mixed / "test" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(tinted(("red", "blue")[i % 2], 60 + i)).save(mixed / "test" / name / f"{i}.png")
    result = run(
        "--dataset", mixed, "--bundle", place / "tints.bundle", "--epsilons", "0", "-o", tmp_path / "out", "-q",
        "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    said = predict_images(load_bundle(place / "tints.bundle"), [mixed / "test"], workers=0)
    right = [image.split("/")[-2] == name for image, ((name, _),) in zip(said.images, said.top(1), strict=True)]
    assert document["clean_accuracy"] == np.mean(right) == 0.5


def test_bad_input_is_refused_in_a_sentence(place, tmp_path):
    red = place / "data" / "test" / "red" / "red0.png"
    common = ("--bundle", place / "tints.bundle", "-o", tmp_path / "out")
    failure = run(red, *common, "--target", "bleu", ok=False).exception
    assert isinstance(failure, UnknownNameError) and "close matches: blue" in str(failure)
    failure = run(red, *common, "--epsilon", "0.001", ok=False).exception
    assert isinstance(failure, AttackError) and "below one grey level" in str(failure)
    (tmp_path / "letter.txt").write_text("Dear all")
    failure = run(tmp_path / "letter.txt", *common, ok=False).exception
    assert isinstance(failure, DecodeError) and "letter.txt cannot be decoded" in str(failure)
    knn = save_tint_bundle(tmp_path / "knn.bundle", "knn")
    failure = run(red, "--bundle", knn, "-o", tmp_path / "out", ok=False).exception
    assert isinstance(failure, NoGradientError) and "logistic" in str(failure)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name the images to attack, or a data set"),
        (("a.png", "--dataset", "b"), "one of the two"),
        (("--dataset", "b", "--target", "x"), "leave out --target"),
        (("a.png", "--epsilons", "1/255"), "use --epsilon for single images"),
        (("a.png", "--epsilon", "four"), "write a fraction like 4/255"),
        (("--dataset", "b", "--epsilons", "1/255,x"), "write a fraction like 4/255"),
        (("a.png", "--norm", "l7"), "linf"),
    ],
)
def test_wrong_usage_is_status_two(tmp_path, arguments, sentence):
    result = run(*arguments, "-o", tmp_path, ok=False)
    assert result.exit_code == 2 and sentence in " ".join(result.output.split())
