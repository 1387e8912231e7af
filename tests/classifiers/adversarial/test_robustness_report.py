"""Robust accuracy as a document, a page and a picture, read back with plain json and Pillow."""

import json

import numpy as np
import pytest
from PIL import Image

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.robustness import Robustness
from classifiers.adversarial.robustness_report import REPORT, report_robustness, write_curve
from classifiers.models.image_classifier import ImageClassifier
from featstore.discovery.scanning import scan
from featstore.errors import OutputExistsError
from tests.support.small_classifiers import save_tint_bundle, write_tinted


def curve(attack, *epsilons):
    """10 images of which 9 are right at first, and fewer at each epsilon."""
    right = np.arange(10) < np.array([[9], [4], [0]])
    return Robustness((0.0, *epsilons), right, np.zeros(10, dtype=np.int64), ("a", "b"), attack, (), 1.0)


def test_the_curve_is_written_as_picture_and_page(tmp_path):
    found = curve(Attack(steps=6, epsilon=8 / 255), 2 / 255, 8 / 255)
    places = write_curve(found, tmp_path, "Robust accuracy on <tints>", "a <classifier>")
    assert min(Image.open(places["png"]).size) > 300
    html = places["html"].read_text()
    assert "&lt;tints&gt;" in html and "<tints>" not in html and "a &lt;classifier&gt;" in html
    assert "9 of 10" in html and "90.0" in html and "0 of 10" in html and "data:image/png" in html


def test_an_l2_curve_is_told_in_lengths_not_in_grey_levels(tmp_path):
    found = curve(Attack(norm="l2", epsilon=2.0), 0.5, 2.0)
    html = write_curve(found, tmp_path, "L2", "somebody")["html"].read_text()
    assert "/255" not in html and "<td>0.5</td>" in html.replace(' class="text"', "")
    assert [point["grey_levels"] for point in found.to_json()["curve"]] == [None] * 3


def test_the_document_says_whose_and_on_what_and_is_not_written_over(tmp_path):
    classifier = ImageClassifier.from_bundle(save_tint_bundle(tmp_path / "b"))
    images = scan(write_tinted(tmp_path / "data", each=2))
    attack = Attack(steps=1, epsilon=1 / 255)
    document = report_robustness(classifier, images, attack, tmp_path / "out", epsilons=[1 / 255], limit=3)
    assert json.loads((tmp_path / "out" / "robustness.json").read_bytes()) == document
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(REPORT)
    assert document["dataset"] == images.name and document["part"].startswith("3 of the 4 images")
    assert document["images"] == 3 and len(document["curve"]) == 2
    assert document["saved"] == {"png": str(tmp_path / "out" / REPORT[2]), "html": str(tmp_path / "out" / REPORT[1])}
    with pytest.raises(OutputExistsError, match="`overwrite=True`"):
        report_robustness(classifier, images, attack, tmp_path / "out")
