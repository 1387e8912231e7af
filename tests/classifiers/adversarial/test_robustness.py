import dataclasses
import json

import numpy as np
import pytest
import torch

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.pgd import run_attack
from classifiers.adversarial.robustness import EPSILONS, judged_rows as choose, robust_accuracy
from classifiers.inspection.lossless_crop import to_bytes
from classifiers.models.image_classifier import ImageClassifier
from classifiers.validation.significance import wilson
from featstore.discovery.scanning import scan
from featstore.errors import AttackError, UnknownNameError
from tests.support.small_classifiers import save_tint_bundle, write_image, write_tinted

torch.set_num_threads(1)
QUICK = Attack(steps=6, epsilon=1 / 255)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A classifier, image files, and their labels, one of them wrong."""
    folder = tmp_path_factory.mktemp("robust")
    classifier = ImageClassifier.from_bundle(save_tint_bundle(folder / "b"))
    images = scan(write_tinted(folder / "data", each=5))
    labels = images.labels.tolist()
    labels[0] = 1 - labels[0]
    return classifier, [images.absolute(i) for i in range(len(images))], labels


@pytest.fixture(scope="module")
def curve(judged):
    return robust_accuracy(*judged, QUICK, [e / 255 for e in (2, 8, 24, 64)])


def test_without_attack_it_is_the_plain_accuracy(judged, curve):
    classifier, paths, labels = judged
    with torch.no_grad():
        plain = classifier(classifier.open(paths)).argmax(1).numpy() == labels
    np.testing.assert_array_equal(curve.right[0], plain)
    assert curve.accuracy[0] == 0.9 and curve.epsilons[0] == 0


def test_it_falls_with_epsilon_and_in_the_end_to_nothing(curve):
    assert all(a >= b for a, b in zip(curve.accuracy, curve.accuracy[1:], strict=False))
    assert curve.accuracy[-1] == 0
    assert (curve.right[:-1] >= curve.right[1:]).all()


def test_each_point_is_the_plain_attack_on_those_still_standing(judged, curve):
    classifier, paths, labels = judged
    pictures = to_bytes(classifier.open(paths))
    direct = run_attack(classifier, pictures, labels, Attack(steps=6, epsilon=2 / 255, enough=0.0))
    np.testing.assert_array_equal(curve.right[1], ~direct.fooled)


def test_the_json_holds_counts_and_wilson_intervals(curve):
    document = json.loads(json.dumps(curve.to_json(), allow_nan=False))
    assert document["images"] == 10 and document["clean_accuracy"] == 0.9
    for point, epsilon in zip(document["curve"], (0, 2, 8, 24, 64), strict=True):
        assert point["epsilon"] == pytest.approx(epsilon / 255) and point["grey_levels"] == pytest.approx(epsilon)
        assert point["accuracy"] == point["right"] / 10
        assert point["accuracy_ci"] == pytest.approx(list(wilson(point["right"], 10)))
    assert document["attack"]["norm"] == "linf" and document["attack"]["steps"] == 6


def test_an_unreadable_image_is_in_no_number(judged, tmp_path):
    classifier, paths, labels = judged
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    result = robust_accuracy(classifier, [bytes(broken), *paths[1:3]], labels[:3], QUICK, [])
    assert result.right.shape == (1, 2) and result.failed[0][0].endswith("broken.png")
    assert result.labels.tolist() == labels[1:3]
    with pytest.raises(AttackError, match=r"none of the 1 images can be read; the first: .*broken\.png"):
        robust_accuracy(classifier, [bytes(broken)], [0], QUICK)


def test_usual_epsilons_fit_the_norm(judged):
    classifier, paths, labels = judged
    result = robust_accuracy(classifier, paths[1:2], labels[1:2], Attack(norm="l2", epsilon=1.0, steps=2))
    assert result.epsilons == EPSILONS["l2"]


def test_descent_has_no_robust_accuracy(judged):
    with pytest.raises(AttackError, match="descent has no bound"):
        robust_accuracy(*judged, Attack(method="descent"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return ImageClassifier.from_bundle(save_tint_bundle(tmp_path_factory.mktemp("b") / "b"))


def test_the_test_part_comes_before_val_and_val_before_everything(classifier, tmp_path):
    for split, part in (("train", "the whole set"), ("val", "the val part"), ("test", "the test part")):
        write_tinted(tmp_path, each=2, split=split)
        images = scan(tmp_path)
        rows, labels, words = choose(images, classifier)
        assert words.startswith(f"the 4 images of {part}") and len(rows) == 4
        names = [classifier.classes[label] for label in labels]
        assert names == [images.classes[images.labels[row]] for row in rows]


def test_a_sample_is_drawn_by_the_seed(classifier, tmp_path):
    images = scan(write_tinted(tmp_path, each=10))
    first, again, other = (choose(images, classifier, 6, seed)[0] for seed in (0, 0, 1))
    assert first == again != other and len(set(first)) == 6 and first == sorted(first)
    assert choose(images, classifier, 6)[2] == "6 of the 20 images of the whole set, as it has no test part"
    assert len(choose(images, classifier, 600)[0]) == 20


def test_a_class_that_the_classifier_does_not_know_is_refused(classifier, tmp_path):
    write_tinted(tmp_path, each=1)
    write_image(tmp_path / "reed" / "a.png")
    with pytest.raises(UnknownNameError, match="unknown class 'reed'; close matches: red"):
        choose(scan(tmp_path), classifier)


def test_rows_are_plain_numbers(classifier, tmp_path):
    rows, labels, _ = choose(scan(write_tinted(tmp_path, each=1)), classifier)
    assert not any(isinstance(value, np.generic) for value in (*rows, *labels))


def test_images_without_a_label_are_not_attacked(judged, tmp_path):
    classifier, _, _ = judged
    images = scan(write_tinted(tmp_path / "data", each=3))
    labels = images.labels.copy()
    labels[1] = -1
    rows, _, part = choose(dataclasses.replace(images, labels=labels), classifier)
    assert rows == [0, 2, 3, 4, 5] and part.endswith("as it has no test part (1 without a label left out)")
    with pytest.raises(AttackError, match="no image of data set 'data' has a label"):
        choose(dataclasses.replace(images, labels=np.full(6, -1)), classifier)
