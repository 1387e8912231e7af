import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from classifiers.inspection.ideal import IdealSettings
from featstore.errors import NoGradientError, OutputExistsError, UnknownNameError
from featstore_scripts.ideal import ideal
from tests.support.small_classifiers import save_tint_bundle, write_image

torch.set_num_threads(1)
QUICK = ("--steps", "16", "--views", "2", "--jitter", "2", "--quiet")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return save_tint_bundle(tmp_path_factory.mktemp("bundle") / "tints.bundle")


def run(*arguments, ok=True):
    result = CliRunner().invoke(ideal, [str(argument) for argument in arguments])
    if ok:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_it_prints_one_json_document_and_writes_the_files(bundle, tmp_path):
    out = tmp_path / "out"
    result = run("--class", "RED", "--bundle", bundle, "-o", out, *QUICK, "--json")
    document = json.loads(result.stdout)
    keys = {"probability", "probability_without_variation", "total_variation", "total_variation_without", "seconds"}
    assert keys <= set(document) and document["format"] == 1 and document["class"] == "red"
    endings = ("", "-without-variation", "-strip", "-loss")
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"ideal-red{e}.png" for e in endings), "ideal-red.json"])
    picture = np.asarray(Image.open(document["saved"]).convert("RGB"))
    assert picture[..., 0].mean() > picture[..., 2].mean() + 3  # the ideal red picture is red
    assert json.loads((out / "ideal-red.json").read_text()) == document


def test_without_json_it_says_what_was_found(bundle, tmp_path):
    result = run("--class", "blue", "--bundle", bundle, "-o", tmp_path, *QUICK)
    assert "with variation loss" in result.stdout and "without" in result.stdout
    assert "note: no second network was asked" in result.stdout
    assert f"Picture: {tmp_path / 'ideal-blue.png'}" in result.stdout


def test_the_seed_decides(bundle, tmp_path):
    def digest(name: str, seed: int) -> bytes:
        run("--class", "red", "--bundle", bundle, "-o", tmp_path / name, "--seed", seed, *QUICK)
        return np.asarray(Image.open(tmp_path / name / "ideal-red.png")).tobytes()

    assert digest("a", 1) == digest("b", 1) != digest("c", 2)


def test_an_image_to_start_from_and_a_second_opinion(bundle, tmp_path):
    other = save_tint_bundle(tmp_path / "other.bundle", node="features.2")
    start = write_image(tmp_path / "start.png")
    result = run(
        "--class", "red", "--bundle", bundle, "--start", start.decode(), "--also", other, "-o", tmp_path / "out",
        *QUICK, "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert len(document["others"]) == 1 and 0 <= document["others"][0]["probability"] <= 1
    assert not document["notes"] or "second network" not in document["notes"][0]


def test_random_weights_are_said(tmp_path):
    result = run(
        "--class", "285", "--backbone", "mobilenet_v3_small", "--weights", "none", "--input-size", 32,
        "-o", tmp_path, "--steps", 1, "--quiet", "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert document["class"] == "Egyptian cat"
    assert any("are random" in note for note in document["notes"])


def test_bad_input_is_refused_in_a_sentence(bundle, tmp_path):
    common = ("--bundle", bundle, "-o", tmp_path / "out", *QUICK)
    assert isinstance(failure := run("--class", "reed", *common, ok=False).exception, UnknownNameError)
    assert "close matches: red" in str(failure)
    knn = save_tint_bundle(tmp_path / "knn.bundle", "knn")
    failure = run("--class", "red", "--bundle", knn, "-o", tmp_path / "out", ok=False).exception
    assert isinstance(failure, NoGradientError) and "logistic" in str(failure) and "mlp" in str(failure)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ideal-red.png").write_text("mine")
    assert isinstance(run("--class", "red", *common, ok=False).exception, OutputExistsError)
    assert (tmp_path / "out" / "ideal-red.png").read_text() == "mine"
    run("--class", "red", *common, "--overwrite")


def test_the_commands_defaults_are_the_librarys():
    defaults = {option.name: option.default for option in ideal.params}
    settings = asdict(IdealSettings())
    assert settings.pop("decorrelated")  # --rgb turns it off
    by_classes = {settings.pop("variation_weight"), settings.pop("softness")}  # `IdealSettings.usual` sees to these
    assert by_classes == {0.02, 4.0}
    assert not any(isinstance(defaults[name], float) for name in ("variation_weight", "softness"))
    assert {name: defaults[name] for name in settings} == settings


def test_wrong_usage_is_status_two(bundle, tmp_path):
    result = run("--class", "red", "--bundle", bundle, "--backbone", "vgg16", "-o", tmp_path, ok=False)
    assert result.exit_code == 2 and "--bundle brings its own network" in result.output
    assert run("-o", tmp_path, ok=False).exit_code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there_is_refused(bundle, tmp_path):
    failure = run("--class", "red", "--bundle", bundle, "--device", "cuda", "-o", tmp_path, ok=False).exception
    assert "cuda" in str(failure) and "not on this machine" in str(failure)


def test_on_a_real_network_zebras_appear_out_of_noise(shared_weights, tmp_path):
    # a small input and few steps, for speed; the full-size figures are in docs/log.md
    result = run(
        "--class", "zebra", "--backbone", "mobilenet_v2", "--weights", shared_weights, "--input-size", 96,
        "--steps", 64, "--views", 2, "-o", tmp_path, "--quiet", "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert document["probability"] >= 0.9
    assert document["total_variation"] * 1.5 < document["total_variation_without"]
