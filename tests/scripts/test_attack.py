import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from classifiers.inspection.lossless_crop import FramedCrop
from classifiers.models.bundle import load_bundle
from classifiers.models.image_classifier import ImageClassifier
from classifiers.models.prediction import predict_images
from featstore.errors import AttackError, DecodeError, NoGradientError, UnknownNameError
from featstore_scripts.attack import attack
from tests.support.small_classifiers import save_tint_bundle, tinted, write_tinted

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
        before = FramedCrop.open(result["image"], bundle.transform).pixels.astype(int)
        after = FramedCrop.open(result["saved"], bundle.transform).pixels
        assert 0 < np.abs(after - before).max() <= 4
        assert result["linf"] <= 4 / 255 + 1e-9 and result["within"]


def test_epsilon_zero_returns_the_image(place, tmp_path):
    document = attacked(place, tmp_path, "--epsilon", "0")
    assert all(r["linf"] == r["l2"] == 0 and not r["success"] for r in document["results"])
    assert document["success_rate"] == 0


@pytest.mark.parametrize("method, more", [("fgsm", ["--epsilon", "2"]), ("descent", ["--steps", "20"])])
def test_the_other_methods_run_in_the_other_norm(place, tmp_path, method, more):
    red = place / "data" / "test" / "red"
    options = ["--bundle", place / "tints.bundle", "-o", tmp_path, "-q", "--json", "--method", method, "--norm", "l2"]
    document = json.loads(run(red, *options, *more).stdout)
    assert document["attack"]["method"] == method
    if method == "fgsm":
        assert all(r["l2"] <= 2 for r in document["results"])
    else:
        assert document["attack"]["epsilon"] is None and document["success_rate"] == 1


@pytest.mark.parametrize(
    "given, sentence",
    [
        (["--method", "descent", "--epsilon", "1/255"], "knows no bound; leave out --epsilon"),
        (["--method", "fgsm", "--steps", "7"], "leave out --steps and --rate"),
        (["--method", "fgsm", "--restarts", "3"], "no random starts; leave out --restarts"),
        (["--method", "descent", "--restarts", "3"], "no random starts"),
    ],
)
def test_what_a_method_pays_no_heed_to_is_refused(place, tmp_path, given, sentence):
    result = run(place / "data", "--bundle", place / "tints.bundle", "-o", tmp_path, *given, ok=False)
    assert result.exit_code == 2 and sentence in result.output


def test_one_epsilon_for_a_data_set_is_refused(place, tmp_path):
    result = run("--dataset", place / "data", "--epsilon", "2/255", "-o", tmp_path, ok=False)
    assert result.exit_code == 2 and "use --epsilons with --dataset" in result.output


def test_the_report_says_whose_it_is_and_is_also_a_file_and_a_page(place, tmp_path):
    document = attacked(place, tmp_path, "--epsilon", "64/255")
    whose = document["classifier"]
    assert whose["bundle"] == str(place / "tints.bundle") and whose["head"] == "logistic"
    assert whose["description"].startswith("tints.bundle: logistic on ")
    kept = json.loads((tmp_path / "attack.json").read_text())
    assert kept == {name: value for name, value in document.items() if name != "page"} and kept["left"] == 0
    html = Path(document["page"]).read_text()
    assert html.count("data:image/png") == 4 and "tints.bundle: logistic" in html and "64/255" in html


def test_what_is_done_stays_when_it_is_cut_short(place, tmp_path, monkeypatch):
    from classifiers.adversarial import files as adversarial

    calls, attack_batch = [], adversarial.run_attack

    def tired(*arguments, **options):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return attack_batch(*arguments, **options)

    monkeypatch.setattr(adversarial, "run_attack", tired)
    monkeypatch.setattr(adversarial, "BATCH", 1)
    red = place / "data" / "test" / "red"
    result = run(red, "--bundle", place / "tints.bundle", "-o", tmp_path / "o", "--steps", 2, "-q", ok=False)
    assert result.exit_code == 1 and "2 images done, 2 not reached: what there is lies in" in result.stderr
    document = json.loads((tmp_path / "o" / "attack.json").read_text())
    assert len(document["results"]) == 2 and document["left"] == 2
    assert all(Path(r["saved"]).exists() for r in document["results"])
    assert "cut short: 2 images not reached" in (tmp_path / "o" / "attack.html").read_text()
    calls.extend([1, 1])
    result = run(red, "--bundle", place / "tints.bundle", "-o", tmp_path / "p", "-q", ok=False)
    assert "Nothing was finished and nothing was written" in result.stderr and not (tmp_path / "p").exists()


def test_an_image_without_a_label_is_not_said_to_have_been_right(place, tmp_path):
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "x.png").write_bytes((place / "data" / "test" / "red" / "red0.png").read_bytes())
    options = ["--bundle", place / "tints.bundle", "--epsilon", "64/255", "--steps", 5, "-q"]
    result = run(tmp_path / "loose" / "x.png", *options, "-o", tmp_path / "o")
    assert "of 1 image, without a label: taken away from what the classifier said at first" in result.stdout
    assert "got right" not in result.stdout


def test_the_same_seed_gives_the_same_files(place, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        attacked(place, tmp_path / name, "--seed", seed, "--epsilon", "4/255")
    files = [[p.read_bytes() for p in sorted((tmp_path / n).glob("*attacked.png"))] for n in "abc"]
    assert files[0] == files[1]
    pixels = [FramedCrop.open(next((tmp_path / n).glob("*attacked.png")), _spec(place)).pixels for n in "ac"]
    assert (pixels[0] != pixels[1]).any()


def _spec(place):
    return ImageClassifier.from_bundle(place / "tints.bundle").transform


def test_without_json_each_image_has_a_line(place, tmp_path):
    red = place / "data" / "test" / "red"
    result = run(red, "--bundle", place / "tints.bundle", "-o", tmp_path, "--epsilon", "64/255", "--steps", 5, "-q")
    assert result.stdout.count("fooled: red") == 4
    assert "Success on 100.0 % of 4 images that the classifier got right" in result.stdout


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
