"""An attacked image as it is saved, opened again and measured; the attack itself is test_pgd's."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image

from classifiers.adversarial import example, files
from classifiers.adversarial.attack import Attack
from classifiers.adversarial.example import AdversarialExample, save_example, success_rate
from classifiers.adversarial.files import attack_files
from classifiers.adversarial.original import Original
from classifiers.adversarial.pgd import AttackResult
from classifiers.adversarial.ssim import ssim
from classifiers.inspection.lossless_crop import FramedCrop
from featstore.errors import StoreWriteError
from tests.support.small_classifiers import CLASSES, seen, small_classifier

torch.set_num_threads(1)
QUICK = Attack(epsilon=8 / 255, steps=12)


def test_the_saved_file_fools_the_classifier_through_its_own_transform(classifier, paths, tmp_path):
    results, failed = attack_files(classifier, paths, QUICK, tmp_path / "out")
    assert not failed and success_rate(results) == np.mean([r.success for r in results]) >= 0.75
    for path, result in zip(paths, results, strict=True):
        before, after = seen(classifier, path), seen(classifier, result.saved)
        assert result.before == CLASSES[before.argmax()] == result.true and not result.labelled
        assert result.after == CLASSES[after.argmax()]
        assert result.success == (after.argmax() != before.argmax())
        assert result.confidence == pytest.approx(after.max(), abs=1e-6)
        assert result.before_probability == pytest.approx(before.max(), abs=1e-6)
        assert not [note for note in result.notes if "saved file" in note]


@pytest.mark.parametrize("attack", [QUICK, Attack(norm="l2", epsilon=0.7, steps=8), Attack(method="fgsm")])
def test_the_sizes_are_those_of_the_saved_file(classifier, paths, tmp_path, attack):
    results, _ = attack_files(classifier, paths, attack, tmp_path / "out")
    for path, result in zip(paths, results, strict=True):
        original = FramedCrop.open(path, classifier.transform)
        saved = np.asarray(Image.open(result.saved).convert("RGB"))
        change = (saved.astype(float) - original.pixels) / 255
        assert result.linf == pytest.approx(np.abs(change).max())
        assert result.l2 == pytest.approx(np.sqrt((change**2).sum()))
        assert result.within and {"linf": result.linf, "l2": result.l2}[attack.norm] <= attack.epsilon + 1e-9
        inside = slice(original.offset, original.offset + 32)
        assert result.ssim == pytest.approx(ssim(original.crop, saved[inside, inside].copy()))
        outside = np.ones(saved.shape[:2], dtype=bool)
        outside[inside, inside] = False
        assert (change[outside] == 0).all()


def test_epsilon_zero_gives_the_image_back(classifier, paths, tmp_path):
    results, _ = attack_files(classifier, paths[:1], Attack(epsilon=0), tmp_path / "out")
    np.testing.assert_array_equal(
        np.asarray(Image.open(results[0].saved)), FramedCrop.open(paths[0], classifier.transform).pixels
    )
    assert (results[0].linf, results[0].l2, results[0].ssim) == (0, 0, 1) and not results[0].success


def test_a_file_that_does_not_give_back_its_pixels_is_noticed(classifier, paths, tmp_path, monkeypatch):
    def lossy(picture, text=None):
        return adversarial_png(np.asarray(picture) // 16 * 16, text)

    adversarial_png = example.png
    monkeypatch.setattr(example, "png", lossy)
    (result,), _ = attack_files(classifier, paths[:1], Attack(epsilon=1 / 255, steps=2), tmp_path / "out")
    assert any("does not give back the pixels" in note for note in result.notes)
    assert not result.within and any("larger than epsilon" in note for note in result.notes)


def test_a_gradient_of_zero_is_said(classifier, paths, tmp_path):
    dead = small_classifier(side=32)
    dead.head.weight.zero_()
    dead.head.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    (result,), _ = attack_files(dead, paths[:1], Attack(epsilon=1 / 255, steps=2), tmp_path / "out")
    assert any("gradient at the original is exactly zero" in note for note in result.notes)
    assert any("was not fooled within 2 steps" in note for note in result.notes)


def test_a_step_that_only_made_it_worse_is_said(classifier, paths, tmp_path, monkeypatch):
    honest = files.run_attack

    def worse(*arguments, **options):
        done = honest(*arguments, **options)
        return dataclasses.replace(done, pictures=arguments[1], fooled=np.zeros_like(done.fooled))

    monkeypatch.setattr(files, "run_attack", worse)
    (result,), _ = attack_files(classifier, paths[:1], Attack(method="fgsm", epsilon=1 / 255), tmp_path / "out")
    assert result.linf == 0
    assert "was not fooled within 1 step; no change that was tried brought it nearer" in result.notes[-1]


def test_the_picture_shows_original_change_and_result(classifier, paths, tmp_path):
    (result,), _ = attack_files(classifier, paths[:1], Attack(epsilon=8 / 255, steps=3), tmp_path / "out")
    picture = np.asarray(Image.open(result.picture).convert("RGB"))
    original = FramedCrop.open(paths[0], classifier.transform).crop
    attacked = FramedCrop.open(str(result.saved), classifier.transform).crop
    factor = 127 // int(np.abs(attacked.astype(int) - original).max())
    change = 128 + factor * (attacked.astype(int) - original)
    for tile in (original, change, attacked):
        windows = np.lib.stride_tricks.sliding_window_view(picture[:, :, 0], (32, 32))
        assert (windows == tile[:, :, 0]).all((2, 3)).any()


def test_the_result_is_plain_json(classifier, paths, tmp_path):
    results, _ = attack_files(classifier, paths[:1], Attack(epsilon=2 / 255, steps=1), tmp_path / "out")
    document = json.loads(json.dumps(results[0].to_json(), allow_nan=False))
    assert {"image", "true", "target", "success", "confidence", "linf", "l2", "saved"} <= set(document)
    assert document["saved"].endswith("p0-attacked.png") and document["target"] is None


def found(original, change, **fields):
    """What an attack would return that moved every pixel of the image by so many grey levels."""
    picture = np.clip(original.frame.crop.astype(int) + change, 0, 255).astype(np.uint8)
    nothing = {"fooled": False, "flat": False, "broken": False, "steps": 3}
    arrays = {name: np.array([value]) for name, value in (nothing | fields).items()}
    return AttackResult(pictures=picture[None], logits=np.zeros((1, 3), np.float32), **arrays), 0


def save(classifier, original, done, attack, folder):
    return save_example(classifier, original, done, attack, (folder / "a.png", folder / "b.png"), "cpu")


def test_where_nothing_was_attacked_the_original_is_saved_and_no_step_counted(classifier, paths, tmp_path):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    result = save(classifier, original, None, QUICK, tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(result.saved)), original.frame.pixels)
    assert (result.steps, result.linf, result.ssim, result.within) == (0, 0, 1, True)
    assert result.after == result.before and result.saved == tmp_path / "a.png" and result.picture == tmp_path / "b.png"


@pytest.mark.parametrize(
    ("attack", "description"),
    [
        (Attack(epsilon=0.125, seed=7), "adversarial image: pgd, linf 0.125, seed 7"),
        (Attack(method="descent", norm="l2"), "adversarial image: descent, without a bound, seed 0"),
    ],
)
def test_the_saved_file_says_how_it_was_made(classifier, paths, tmp_path, attack, description):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    with Image.open(save(classifier, original, None, attack, tmp_path).saved) as picture:
        assert picture.info["Description"] == description


def test_a_change_beyond_epsilon_is_said_but_descent_knows_no_bound(classifier, paths, tmp_path):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    done = found(original, 40)
    bounded = save(classifier, original, done, Attack(epsilon=0.125), tmp_path)
    assert not bounded.within and "the change is larger than epsilon 0.125 in linf" in bounded.notes
    unbounded = save(classifier, original, done, Attack(method="descent", norm="l2", epsilon=0.125), tmp_path)
    assert unbounded.within and not any("epsilon" in note for note in unbounded.notes)


def test_a_success_that_the_saved_file_does_not_repeat_is_said(classifier, paths, tmp_path):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    result = save(classifier, original, found(original, 0, fooled=True), QUICK, tmp_path)
    assert not result.success
    assert "the classifier was fooled during the attack, but is not by the saved file" in result.notes


def test_a_gradient_that_was_not_finite_is_said(classifier, paths, tmp_path):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    result = save(classifier, original, found(original, 0, broken=True), QUICK, tmp_path)
    assert "a gradient was not finite; the attack stopped there" in result.notes


@pytest.mark.parametrize(("goal", "offered"), [("cross-entropy", True), ("margin", False)])
def test_where_the_gradient_is_zero_the_margin_is_offered_unless_it_is_followed_already(
    classifier, paths, tmp_path, goal, offered
):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    result = save(classifier, original, found(original, 0, flat=True), Attack(goal=goal), tmp_path)
    (note,) = [note for note in result.notes if "exactly zero" in note]
    assert ('`goal="margin"` follows the logits instead' in note) == offered


def test_a_folder_that_cannot_be_written_is_an_error_of_its_own(classifier, paths, tmp_path):
    original = Original.open(classifier, paths[0], None, None, "cpu")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreWriteError, match=r"file/a\.png"):
        save(classifier, original, None, QUICK, tmp_path / "file")


FIELDS = {
    "image": "in/cat.png", "true": "cats", "labelled": True, "before": "cats", "before_probability": 0.75,
    "target": None, "after": "dogs", "confidence": 0.625, "attempted": True, "success": True, "linf": 4 / 255,
    "l2": 0.5, "ssim": 0.96875, "within": True, "steps": 40, "saved": None, "picture": None, "notes": ("a", "b"),
}  # fmt: skip


def test_a_result_without_files_has_no_places_and_keeps_every_field():
    assert AdversarialExample(**FIELDS).to_json() == FIELDS | {"notes": ["a", "b"]}


@given(st.lists(st.sampled_from([(False, False), (True, False), (True, True)])))
def test_of_any_results_the_share_is_that_of_the_attempted_ones(outcomes):
    results = [AdversarialExample(**FIELDS | {"attempted": tried, "success": fooled}) for tried, fooled in outcomes]
    attempted = [fooled for tried, fooled in outcomes if tried]
    assert success_rate(results) == (np.mean(attempted) if attempted else None)
