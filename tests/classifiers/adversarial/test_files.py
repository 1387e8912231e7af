import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.adversarial import example, files
from classifiers.adversarial.attack import Attack
from classifiers.adversarial.example import success_rate
from classifiers.adversarial.files import attack_files
from classifiers.adversarial.ssim import ssim
from classifiers.inspection.lossless_crop import FramedCrop
from featstore.errors import DecodeError, OutputExistsError
from tests.support.small_classifiers import CLASSES, small_classifier, write_image

torch.set_num_threads(1)
QUICK = Attack(epsilon=8 / 255, steps=12)


@pytest.fixture(scope="module")
def classifier():
    return small_classifier(side=32)


@pytest.fixture
def paths(tmp_path):
    # wider than high, so that the crop loses something on both sides
    return [write_image(tmp_path / "in" / f"p{i}.png", i, 90 + i, 50) for i in range(4)]


def seen(classifier, path) -> np.ndarray:
    with torch.no_grad():
        return classifier(classifier.open([path])).softmax(1)[0].numpy()


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


def test_a_target_is_reached_and_named_in_the_file(classifier, paths, tmp_path):
    said = [int(seen(classifier, path).argmax()) for path in paths]
    target = next(i for i in range(3) if i not in said[:1])
    results, _ = attack_files(classifier, paths[:1], QUICK, tmp_path / "out", target=target)
    assert results[0].saved.name == f"p0-as-{CLASSES[target]}.png"
    assert results[0].success and results[0].after == results[0].target == CLASSES[target]
    assert results[0].confidence == pytest.approx(seen(classifier, results[0].saved)[target], abs=1e-6)


def test_an_image_that_is_wrong_already_is_not_counted_and_said_to_be(classifier, paths, tmp_path):
    said = int(seen(classifier, paths[0]).argmax())
    wrong, other = (said + 1) % 3, (said + 2) % 3
    (untargeted,), _ = attack_files(classifier, paths[:1], QUICK, tmp_path / "a", truth=wrong)
    assert not untargeted.attempted and not untargeted.success and untargeted.linf == 0
    assert f"gets the original wrong: {CLASSES[said]}, not {CLASSES[wrong]}" in untargeted.notes[0]
    (targeted,), _ = attack_files(classifier, paths[:1], QUICK, tmp_path / "b", truth=wrong, target=other)
    assert not targeted.attempted and targeted.linf > 0 and targeted.after == CLASSES[other]
    (there,), _ = attack_files(classifier, paths[:1], QUICK, tmp_path / "c", target=said)
    assert not there.attempted and there.linf == 0 and "already" in there.notes[0]
    assert success_rate([untargeted, targeted, there]) is None


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


def test_an_unreadable_image_does_not_touch_the_others(classifier, paths, tmp_path):
    broken = tmp_path / "in" / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    attack = Attack(epsilon=2 / 255, steps=2)
    alone, _ = attack_files(classifier, paths[1:2], attack, tmp_path / "alone")
    results, failed = attack_files(classifier, [bytes(broken), paths[1]], attack, tmp_path / "out")
    assert len(results) == 1 and failed[0][0].endswith("broken.png") and "cannot be decoded" in failed[0][1]
    assert results[0].before == alone[0].before
    with pytest.raises(DecodeError, match="broken.png cannot be decoded"):
        attack_files(classifier, [bytes(broken)], attack, tmp_path / "none")


def test_nothing_is_overwritten_unasked(classifier, paths, tmp_path):
    attack = Attack(epsilon=2 / 255, steps=1)
    attack_files(classifier, paths[:1], attack, tmp_path / "out")
    with pytest.raises(OutputExistsError, match=r"p0-attacked\.png exists already"):
        attack_files(classifier, paths, attack, tmp_path / "out")
    attack_files(classifier, paths[:1], attack, tmp_path / "out", overwrite=True)


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
