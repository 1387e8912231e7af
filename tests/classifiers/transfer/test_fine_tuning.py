"""Fine-tuning from end to end, on small pictures and a small network."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18

from classifiers.models.bundle import load_bundle
from classifiers.models.image_classifier import ImageClassifier
from classifiers.models.prediction import predict_images
from classifiers.training import learner
from classifiers.training.learner import Learner
from classifiers.transfer.fine_tuning import finetune
from featstore.backbone import Backbone
from featstore.errors import (
    FeaturesError,
    OutputExistsError,
    StoreNotFoundError,
    StoreWriteError,
    TrainingError,
    UnknownNameError,
    WeightsNotFoundError,
)
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from featstore.system import fsio
from tests.support.pictures import encode
from tests.support.rates import take_rates_as_asked

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {
    "epochs": 2, "batch_size": 8, "views": 2, "groups": "none", "budget": "quick",
    "workers": 0, "device": "cpu", "engine": "eager",
    "valid_fraction": 0.25, "keep_any": True,
}  # fmt: skip


def draw(root, splits=("train", "test"), each=12, classes=("ants", "bees", "wasps")):
    """Classes that differ in the direction of their stripes, and a little in their colour."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:48, 0:48] / 5.0
    for split in splits:
        for k, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(each):
                angle = np.pi * (k + rng.uniform(-0.2, 0.2)) / len(classes)
                waves = np.sin(x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 6))
                picture = 128 + 70 * waves[..., None] + rng.normal(0, 20, (48, 48, 3)) + rng.uniform(-20, 20, 3)
                picture[..., k % 3] += 20
                (folder / f"{split}{i:02d}.png").write_bytes(encode(np.clip(picture, 0, 255).astype(np.uint8), "PNG"))
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a store, and weights whose batch norms know such images."""
    root = tmp_path_factory.mktemp("finetune")
    draw(root / "insects")
    torch.manual_seed(0)
    network = mobilenet_v3_small()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()
    seen = [np.asarray(Image.open(path).resize((32, 32))) for path in sorted((root / "insects").rglob("*.png"))]
    with torch.no_grad():
        network((torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2) / 255 - 0.45) / 0.22)
    save_file(network.state_dict(), root / "net.safetensors")
    extract(
        root / "insects", root / "store", backbone="mobilenet_v3_small", weights=str(root / "net.safetensors"),
        input_size=32, nodes=("features.4", "avgpool"), engine="eager", workers=0,
    )  # fmt: skip
    return root


def tune(place, out, **more):
    options = {**QUICK, "weights": place / "net.safetensors", "regime": 3, **more}
    return finetune(place / "insects", place / "store", out, **options)


TUNED = {"regime": 4, "epochs": 6, "learning_rate": 1e-3, "head_rate": 1e-3, "seed": 3}  # an epoch is of use


@pytest.fixture(scope="module")
def tuned(place):
    """A fine-tune of the whole network that certainly changed something."""
    return tune(place, place / "tuned.bundle", **TUNED)


def test_the_result_says_what_was_run(place, tuned):
    document = json.loads(json.dumps(tuned.to_json()))
    required = {"format", "accuracy_cached", "accuracy_tuned", "p", "epochs", "seconds", "seconds_per_epoch", "bundle"}
    assert required <= document.keys() and document["format"] == 1
    assert document["bundle"] == str(place / "tuned.bundle") and document["images"] == 36
    assert (document["input_size"], document["regime"], document["judged_on"]) == (32, 4, "test")
    assert document["weights"] == "file net.safetensors" and document["epochs"] == len(document["history"]) - 1 >= 1
    assert document["settings"]["learning_rate"] == 1e-3
    assert not list(place.glob("*.checkpoints"))


def test_both_accuracies_are_of_the_same_test_images(place, tuned):
    store = FeatureStore(place / "store")
    bundle = load_bundle(place / "tuned.bundle")
    features = store.read(key=tuned.details["tuned_feature_key"])
    test = features.subset(features.testing())
    right = bundle.predict_proba(test).argmax(axis=1) == test.y
    np.testing.assert_array_equal(right, tuned.right_tuned)
    assert tuned.to_json()["accuracy_tuned"] == right.mean()


def test_the_tuned_network_is_a_backbone_of_its_own(place, tuned):
    assert tuned.best > 0 and tuned.weights_file == place / "tuned.weights.safetensors"
    backbone = Backbone("mobilenet_v3_small", tuned.weights_file, input_size=32)
    assert backbone.weights.sha256 == tuned.details["tuned_weights_sha256"]
    assert backbone.fingerprints()["avgpool"].key == tuned.details["tuned_feature_key"]
    again = extract(
        place / "insects", place / "store", backbone="mobilenet_v3_small", weights=str(tuned.weights_file),
        input_size=32, engine="eager", workers=0,
    )  # fmt: skip
    assert (again.computed, again.cached) == (0, 72)  # its features are in the store already


def test_the_bundle_predicts_from_images_what_it_predicts_from_features(place, tuned):
    bundle = load_bundle(place / "tuned.bundle")
    found = predict_images(bundle, [place / "insects" / "test"], engine="eager", workers=0)
    features = FeatureStore(place / "store").read(key=tuned.details["tuned_feature_key"])
    test = features.subset(features.testing())
    np.testing.assert_array_equal(found.proba, bundle.predict_proba(test))
    classifier = ImageClassifier.from_bundle(bundle)
    with torch.no_grad():
        proba = torch.softmax(classifier(classifier.open(found.images)), 1).numpy()
    # Its batch norms are not folded, so features differ by rounding, which the head multiplies by its weights.
    features_differ = 4 * np.finfo(np.float32).eps * np.abs(test.X).max()
    logits_differ = features_differ * float(classifier.head.weight.detach().abs().sum(1).max())
    np.testing.assert_allclose(proba, found.proba, atol=logits_differ / 2)


def test_bundle_and_weights_can_be_moved_together(place, tuned, tmp_path):
    for file in (place / "tuned.bundle", tuned.weights_file):
        shutil.copy(file, tmp_path)
    elsewhere = load_bundle(tmp_path / "tuned.bundle")
    assert ImageClassifier.from_bundle(elsewhere).backbone.weights.path == tmp_path / "tuned.weights.safetensors"
    (tmp_path / "tuned.weights.safetensors").unlink()
    hidden = tuned.weights_file.rename(tuned.weights_file.with_suffix(".hidden"))
    try:
        with pytest.raises(WeightsNotFoundError):
            ImageClassifier.from_bundle(elsewhere)
    finally:
        hidden.rename(tuned.weights_file)


def test_a_resnets_weights_file_is_torchvisions_state_dict(place, tmp_path, monkeypatch):
    network = {"backbone": "resnet18", "weights": "none", "input_size": 32}
    extract(place / "insects", tmp_path / "s", engine="eager", workers=0, **network)
    # One epoch from random weights gets better on some processors and not on others: here the later one is kept.
    monkeypatch.setattr("classifiers.training.trainer._rank", lambda entry: entry["epoch"])
    options = {**QUICK, "regime": 4, "from_scratch": True, "epochs": 1, "head_rate": 1e-2}
    result = finetune(place / "insects", tmp_path / "s", tmp_path / "r.bundle", **options)
    assert result.best == 1
    network = resnet18(num_classes=3)
    network.load_state_dict(load_file(result.weights_file))
    assert network.fc.weight.abs().min() > 0  # it began with zeros
    classifier = ImageClassifier.from_bundle(tmp_path / "r.bundle")
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = network.eval()((x - classifier.mean) / classifier.std)
        torch.testing.assert_close(torch.softmax(classifier(x), 1), torch.softmax(expected, 1), rtol=1e-3, atol=1e-4)


def test_with_a_rate_of_nothing_the_cached_head_comes_out(place, tmp_path):
    result = tune(place, tmp_path / "b", learning_rate=1e-12, head_rate=1e-12)
    frozen = result.right_cached
    if result.best == 0:
        np.testing.assert_array_equal(result.right_tuned, frozen)
        assert result.weights_file is None and "cached head" in result.verdict and result.p == 1.0
    assert abs(result.right_tuned.mean() - frozen.mean()) < 0.15


def test_split_fine_tuning_is_the_same_as_through_the_whole_network(place, tmp_path):
    options = {"reopen": "features.9", "augment": False}
    split = tune(place, tmp_path / "a", views=1, **options)
    whole = tune(place, tmp_path / "b", views=0, **options)
    assert (split.details["views"], whole.details["views"]) == (1, 0)
    assert split.details["cut"] == whole.details["cut"] == "features.8"
    for a, b in zip(split.history, whole.history, strict=True):
        assert a["valid_log_loss"] == pytest.approx(b["valid_log_loss"], rel=0.02)  # float16 at the cut


def test_activations_are_cached_once(place, tmp_path, monkeypatch):
    shutil.copytree(place / "store", tmp_path / "store")
    options = {**QUICK, "weights": place / "net.safetensors", "regime": 3, "reopen": "features.9", "epochs": 1}
    finetune(place / "insects", tmp_path / "store", tmp_path / "a", **options)
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "store" / "activations").rglob("*.safetensors")}
    assert len(files) == 3  # two views to train on, one part to validate on
    monkeypatch.setattr("classifiers.training.data.decode_rows", lambda *a, **k: pytest.fail("decoded again"))
    finetune(place / "insects", tmp_path / "store", tmp_path / "b", **options)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "store" / "activations").rglob("*.safetensors")} == files


@pytest.mark.parametrize("regime", [1, 2])
def test_small_regimes_train_nothing_but_a_head(place, tmp_path, regime):
    result = tune(place, tmp_path / "b", regime=regime, epochs=1)
    assert result.weights_file is None and result.details["reopen"] == "head"
    if regime == 2:
        assert any("validation accuracy by node, on 9 images: " in note for note in result.notes)
    frozen = FeatureStore(place / "store").read(node="avgpool", weights="net.safetensors").fingerprint
    assert load_bundle(tmp_path / "b").fingerprint.weights_sha256 == frozen.weights_sha256


def test_from_scratch_starts_from_nothing(place, tmp_path):
    result = tune(place, tmp_path / "b", from_scratch=True, adapt_statistics=True, epochs=1, regime=4)
    assert result.history[0]["valid_log_loss"] == pytest.approx(np.log(3), abs=1e-3)
    assert result.details["weights"] == "none (from scratch)"


def test_a_head_without_gradients_is_replaced_and_that_is_said(place, tmp_path):
    result = tune(place, tmp_path / "b", head="lightgbm", regime=1, epochs=1)
    assert any("lightgbm has no gradients" in note and "logistic" in note for note in result.notes)
    assert load_bundle(tmp_path / "b").name == "logistic"


def test_killed_and_run_again_it_ends_with_the_same_weights_bit_for_bit(place, tuned, tmp_path):
    program = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})
        import torch
        torch.set_num_threads(1)
        from tests.classifiers.transfer.test_fine_tuning import tune
        def kill(stage, done, total, note):
            if stage == "train" and done == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)
        tune(Path({str(place)!r}), Path({str(tmp_path)!r}) / "killed", progress=kill, **{TUNED!r})
    """
    for step in ("2", "8"):
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program), step], check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert (tmp_path / "killed.checkpoints").is_dir() and not (tmp_path / "killed").exists()
    with pytest.raises(TrainingError, match=r"epochs was 6, now 7.*`restart=True`"):
        tune(place, tmp_path / "killed", **{**TUNED, "epochs": 7})
    (tmp_path / "killed.weights.safetensors").write_bytes(
        b"cut short"
    )  # as a kill between weights and bundle leaves it
    result = tune(place, tmp_path / "killed", **TUNED)
    assert any("went on after epoch" in note for note in result.notes)
    assert result.weights_file.read_bytes() == tuned.weights_file.read_bytes()
    assert not (tmp_path / "killed.checkpoints").exists()


def test_restart_throws_the_interrupted_run_away(place, tmp_path):
    class Stop(Exception):
        pass

    def stop(stage, done, total, note):
        if stage == "train" and done == 4:
            raise Stop

    with pytest.raises(Stop):
        tune(place, tmp_path / "b", progress=stop)
    result = tune(place, tmp_path / "b", epochs=1, restart=True)
    assert len(result.history) == 2


def poison(monkeypatch, steps):
    """The loss is NaN after so many steps."""
    inner, count = learner.cross_entropy, 0

    def poisoned(*arguments):
        nonlocal count
        count += 1
        return inner(*arguments) * (float("nan") if count > steps else 1)

    monkeypatch.setattr(learner, "cross_entropy", poisoned)
    take_rates_as_asked(monkeypatch)


def test_a_loss_that_becomes_nan_keeps_the_best_weights_and_names_the_step(place, tmp_path, monkeypatch):
    poison(monkeypatch, steps=9)
    said = r"loss became nan at step 10 \(epoch 4\).*holds the best weights.*`learning_rate`"
    with pytest.raises(TrainingError, match=said):
        tune(place, tmp_path / "b", **TUNED | {"epochs": 6})
    assert load_bundle(tmp_path / "b").summary["fine_tuned"]["epoch"] in (1, 2, 3)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (0, "The training collapsed and was stopped: the loss became nan at step 1 (epoch 1), even at 1/64 of the"),
        (10, "The training was stopped: the loss became nan at step 11 (epoch 4). "),
    ],
)
def test_nan_before_any_epoch_was_of_use_ends_like_a_training_that_was_stopped(
    place, tmp_path, monkeypatch, steps, said
):
    poison(monkeypatch, steps)
    rates = {"learning_rate": 1e-9, "head_rate": 1e-9}
    result = tune(place, tmp_path / "b", regime=4, epochs=6, keep_any=False, **rates)
    assert result.verdict.startswith(said) and "so the bundle holds the cached head" in result.verdict
    document = result.to_json()
    assert document["diverged"] is True and (document["best_epoch"], document["p"]) == (0, 1.0)
    assert any(
        "the best weights before it were kept, those of epoch 0: the loss became nan" in note for note in result.notes
    )
    assert load_bundle(tmp_path / "b").summary["fine_tuned"]["epoch"] == 0 and not list(tmp_path.glob("*.checkpoints"))


def test_what_an_epoch_has_to_gain_is_told_before_the_start_and_in_the_result(place, tmp_path):
    told = []
    result = tune(place, tmp_path / "b", regime=1, epochs=1, keep_any=False, announce=told.append)
    assert told[0] in result.notes and told[0].startswith("the validation part has 9 images: an epoch is kept only")
    assert told[1].startswith("the training will take") and result.to_json()["least_gain"] == 5 / 9
    first = result.history[0]["valid_accuracy"]
    assert ("no epoch can gain as much" in told[0]) == (round(9 * (1 - first)) < 5)


def collapsing(monkeypatch, attempts):
    """In its first attempts the network loses everything with each step: it gives the first class to every image."""
    step, begin_again, begun = Learner.step, Learner.begin_again, []

    def lose(self, *arguments):
        found = step(self, *arguments)
        if len(begun) < attempts:
            for weights in (self.live, self.average):
                for name, tensor in weights.items():
                    if name.startswith("head"):
                        tensor.data.zero_()
                        tensor.data[0] = 1.0 if name.endswith("bias") else 0.0
        return found

    monkeypatch.setattr(Learner, "step", lose)
    monkeypatch.setattr(Learner, "begin_again", lambda *a: (begun.append(a), begin_again(*a))[1])
    take_rates_as_asked(monkeypatch)


def test_a_collapse_begins_again_with_half_of_the_rates_and_is_told(place, tmp_path, monkeypatch):
    collapsing(monkeypatch, attempts=2)
    result = tune(place, tmp_path / "b", regime=4, epochs=4, keep_any=False)
    assert len(result.collapses) == 2 and len(result.history) == 5
    told = next(note for note in result.notes if "lost what it began with" in note)
    for rate in ("0.001", "0.0005"):
        assert f"`learning_rate={rate}` in epoch 2 (33.3 %, one class for all images)" in told
    assert told.endswith("each time it began again from there with half of all rates (at last `learning_rate=0.00025`)")
    assert not any("give one class" in note for note in result.notes)


def test_what_collapses_at_every_rate_ends_with_the_cached_head_and_says_why(place, tmp_path, monkeypatch):
    collapsing(monkeypatch, attempts=99)
    result = tune(place, tmp_path / "b", regime=4, epochs=4, keep_any=False)
    assert result.best == 0 and result.weights_file is None
    np.testing.assert_array_equal(result.right_tuned, result.right_cached)
    assert result.verdict == (
        "The training collapsed and was stopped: the network lost what it began with, even at 1/64 of the "
        "rates, so the bundle holds the cached head."
    )


def test_six_epochs_at_one_class_are_called_what_they_are(place, tmp_path, monkeypatch):
    collapsing(monkeypatch, attempts=99)
    monkeypatch.setattr("classifiers.training.trainer.WATCHED", -1.0)  # so that nothing begins again
    result = tune(place, tmp_path / "b", regime=4, epochs=6, keep_any=False)
    assert [entry["largest_answer"] for entry in result.history[1:]] == [1.0] * 6 and result.best == 0
    assert any(
        note == "epochs 1 to 6 give one class to every validation image, or to all but one in fifty: the network had "
        "learnt to tell nothing apart"
        for note in result.notes
    )
    assert "Every epoch got fewer of 9 validation images right than the cached head: 33.3 % at most" in result.verdict
    assert "keep_any" not in result.verdict  # it would keep the cached head, too


def test_the_advice_to_keep_any_epoch_keeps_one(place, tmp_path):
    tiny = {"regime": 4, "learning_rate": 1e-12, "head_rate": 1e-12, "augment": False}  # the cached head all along
    result = tune(place, tmp_path / "a", **tiny, keep_any=False)
    assert result.best == 0
    assert result.verdict.endswith(
        "the bundle holds the cached head (`keep_any=True` keeps the best epoch all the same)."
    )
    again = tune(place, tmp_path / "b", **tiny, keep_any=True)
    assert again.best > 0 and again.weights_file is not None


def test_a_network_trained_from_scratch_that_tells_nothing_apart_is_said_to_be_one(place, tmp_path):
    nothing = {"regime": 4, "from_scratch": True, "learning_rate": 1e-12, "head_rate": 1e-12}
    result = tune(place, tmp_path / "a", **nothing)
    assert "epochs 1 to 2 give one class to every validation image, or to all but one in fifty: " in str(result.notes)


def test_without_a_test_part_the_validation_judges_and_that_is_said(place, tmp_path):
    shutil.copytree(place / "insects" / "train", tmp_path / "pictures")
    weights = str(place / "net.safetensors")
    extract(
        tmp_path / "pictures", tmp_path / "s", backbone="mobilenet_v3_small", weights=weights, input_size=32,
        engine="eager", workers=0,
    )  # fmt: skip
    options = {**QUICK, "weights": weights, "regime": 1, "epochs": 1}
    result = finetune(tmp_path / "pictures", tmp_path / "s", tmp_path / "b", **options)
    assert result.judged_on == "validation" and len(result.right_tuned) == 9
    # The cached head that is judged did not train on these images: it is the one that the fine-tune began with.
    assert result.right_cached.mean() == pytest.approx(result.history[0]["valid_accuracy"])
    nothing = {**options, "learning_rate": 1e-12, "head_rate": 1e-12, "keep_any": False}
    result = finetune(tmp_path / "pictures", tmp_path / "s", tmp_path / "c", **nothing)
    assert result.best == 0 and 0.0 < result.history[0]["valid_accuracy"] < 1.0
    assert result.right_tuned.mean() == result.right_cached.mean() == result.history[0]["valid_accuracy"]
    assert load_bundle(tmp_path / "c").summary["accuracy"] == result.right_cached.mean()


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"valid_fraction": 0.0}, FeaturesError, "no validation part"),
        ({"valid_fraction": 1.0}, FeaturesError, "no validation part"),
        ({"groups": "a"}, FeaturesError, "no validation part can be held out"),
        ({"reopen": "features.99"}, UnknownNameError, r"place to reopen mobilenet_v3_small at 'features\.99'"),
        ({"head": "logistc"}, UnknownNameError, "unknown head"),
        ({"dataset": "insect"}, UnknownNameError, "insect"),
        ({"select": {"backbone": "resnet18"}}, StoreNotFoundError, "resnet18"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(place, tmp_path, options, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        tune(place, tmp_path / "b", **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "b").exists()


def test_a_class_without_training_images_is_refused(place, tmp_path):
    shutil.copytree(place / "insects", tmp_path / "insects")
    shutil.rmtree(tmp_path / "insects" / "train" / "bees")
    weights = str(place / "net.safetensors")
    extract(
        tmp_path / "insects", tmp_path / "s", backbone="mobilenet_v3_small", weights=weights, input_size=32,
        engine="eager", workers=0,
    )  # fmt: skip
    with pytest.raises(FeaturesError, match=r"no training image with features \(bees\)"):
        finetune(tmp_path / "insects", tmp_path / "s", tmp_path / "b", **{**QUICK, "weights": weights})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused_before_the_work(place, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StoreWriteError, match=r"closed nothing may be written; name another place"):
        tune(place, tmp_path / "closed" / "new" / "b", dataset="is not looked for")


def test_a_place_below_a_file_is_refused_before_the_work(place, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StoreWriteError, match=r"b cannot be written: .*file is no folder; name another place"):
        tune(place, tmp_path / "file" / "new" / "b", dataset="is not looked for")


def test_a_full_disk_is_said_and_the_run_can_go_on(place, tmp_path, monkeypatch):
    replace, written = fsio.replace, []

    def full(path, *arguments, **options):
        written.append(path)
        if len(written) == 3:
            raise StoreWriteError(f"{path} cannot be written: No space left on device; free some space")
        return replace(path, *arguments, **options)

    monkeypatch.setattr(fsio, "replace", full)
    with pytest.raises(StoreWriteError, match=r"b\.checkpoints.*No space left"):
        tune(place, tmp_path / "b", regime=1, epochs=4)
    assert not (tmp_path / "b").exists()
    result = tune(place, tmp_path / "b", regime=1, epochs=4)
    assert "went on after epoch 1 of an interrupted run" in result.notes and len(result.history) == 5


def test_nothing_is_overwritten(place, tuned, tmp_path):
    with pytest.raises(OutputExistsError, match="`overwrite=True`"):
        tune(place, place / "tuned.bundle")
    (tmp_path / "b.weights.safetensors").write_bytes(b"mine")
    (tmp_path / "b.checkpoints").mkdir()  # but no checkpoint in it
    with pytest.raises(OutputExistsError, match=r"b\.weights\.safetensors"):
        tune(place, tmp_path / "b")
    assert (tmp_path / "b.weights.safetensors").read_bytes() == b"mine"
