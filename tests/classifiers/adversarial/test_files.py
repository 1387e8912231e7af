"""Many attacked image files: what is attacked, named, refused; each single result is test_example's."""

import pytest
import torch

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.example import success_rate
from classifiers.adversarial.files import attack_files
from featstore.errors import DecodeError, OutputExistsError
from tests.support.small_classifiers import CLASSES, seen

torch.set_num_threads(1)
QUICK = Attack(epsilon=8 / 255, steps=12)


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
