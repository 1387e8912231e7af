import numpy as np
import pytest

from classifiers.network import ImageClassifier
from classifiers.testpart import judged_rows as choose
from featstore.discovery import scan
from featstore.errors import UnknownNameError
from tests.lookkit import save_tint_bundle, write_image, write_tinted


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
