"""Masks and annotations by their names."""

import pytest

from featstore.layouts.folders.masks import is_beside
from tests.support.trees import label, put, rows


@pytest.mark.parametrize("name", ["masks", "Mask", "annotations", "SegmentationClass", "ground_truth", "trimaps", "xml",
                                  "train_masks", "labels", "masks_png", "GT"])  # fmt: skip
def test_names_of_masks_and_annotations(name):
    assert is_beside(name.encode())


@pytest.mark.parametrize(
    "name", ["no_mask", "with_mask", "cats", "train", "images", "label_1", "xmas", "boxer", "", "gt4"]
)
def test_names_of_other_things(name):
    assert not is_beside(name.encode())


def test_masks_beside_their_pictures_are_left_out(tmp_path):
    names = [
        f"{kind}/{kind} ({i}){mask}.png" for kind in ("benign", "malignant") for i in (1, 2) for mask in ("", "_mask")
    ]
    put(tmp_path, *names)
    found = label(tmp_path)
    assert set(rows(found)) == {name for name in names if "_mask" not in name} and "4 images left out" in found.notes[0]
    assert set(rows(label(tmp_path, layout="class-folders"))) == set(names)


def test_a_few_names_like_masks_are_pictures(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.png", "cat/1_mask.png", "dog/3.png", "dog/4.png")
    assert len(rows(label(tmp_path))) == 5
