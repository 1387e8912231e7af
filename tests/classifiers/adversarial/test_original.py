import numpy as np
import pytest
import torch

from classifiers.adversarial.original import Original, probabilities
from featstore.errors import DecodeError
from tests.support.small_classifiers import CLASSES, small_classifier, write_image

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def classifier():
    return small_classifier(side=32)


def opened(classifier, path, target=None, truth=None) -> Original:
    return Original.open(classifier, path, target, truth, "cpu")


def test_it_holds_what_the_classifier_says_of_the_file(classifier, tmp_path):
    path = write_image(tmp_path / "a.png")
    with torch.no_grad():
        expected = classifier(classifier.open([path])).softmax(1)[0].numpy()
    original = opened(classifier, path)
    np.testing.assert_allclose(original.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(probabilities(classifier, original.frame.crop, "cpu"), expected, atol=1e-6)
    assert original.before == expected.argmax()


def test_the_label_is_given_or_the_folders_name_or_what_is_said(classifier, tmp_path):
    in_folder = write_image(tmp_path / "newts" / "a.png")
    elsewhere = write_image(tmp_path / "stuff" / "a.png")
    original = opened(classifier, in_folder)
    assert original.labelled and CLASSES[original.label] == "newts"
    assert CLASSES[opened(classifier, in_folder, truth=1).label] == "dogs"
    unlabelled = opened(classifier, elsewhere)
    assert not unlabelled.labelled and unlabelled.label == unlabelled.before


def test_what_is_attempted_and_what_is_said_of_the_rest(classifier, tmp_path):
    path = write_image(tmp_path / "a.png")
    right = opened(classifier, path).before
    wrong, other = (right + 1) % 3, (right + 2) % 3
    assert opened(classifier, path, target=other, truth=right).attempted
    assert opened(classifier, path, truth=right).attempted
    assert opened(classifier, path, truth=right).remarks(CLASSES) == []

    missed = opened(classifier, path, target=other, truth=wrong)
    assert not missed.attempted and missed.worth_trying
    assert missed.remarks(CLASSES) == [
        f"the classifier gets the original wrong: {CLASSES[right]}, not {CLASSES[wrong]}"
    ]
    untargeted = opened(classifier, path, truth=wrong)
    assert not untargeted.attempted and not untargeted.worth_trying
    assert "it was left as it is" in untargeted.remarks(CLASSES)[0]
    there = opened(classifier, path, target=right, truth=wrong)
    assert not there.worth_trying and f"takes the original for {CLASSES[right]} already" in there.remarks(CLASSES)[0]
    own = opened(classifier, path, target=wrong, truth=wrong)
    assert not own.worth_trying and "which is the target" in own.remarks(CLASSES)[0]


def test_a_file_that_is_no_image_is_named(classifier, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%PDF-1.4")
    with pytest.raises(DecodeError, match=r"a\.jpg cannot be decoded"):
        opened(classifier, bytes(tmp_path / "a.jpg"))
