"""Names of columns as Kaggle, Keras, fastai and people write them."""

import pytest

from featstore.lists.column_names import (
    is_group,
    is_known,
    is_part,
    label_base,
    label_rank,
    may_be_part,
    path_rank,
    plain,
)


@pytest.mark.parametrize(
    "name",
    ["path", "Path", "file", "filename", "file_name", "File Name", "image", "img", "image_id", "id", "image_path",
     "name", "filepaths", "ImageID", "isic_id"],
)  # fmt: skip
def test_paths(name):
    assert path_rank(name) is not None and is_known(name)


@pytest.mark.parametrize(
    "name",
    ["label", "Label", "labels", "class", "category", "breed", "target", "species", "diagnosis", "dx", "class_id",
     "className", "label_name", "dog_breed", "true_label", "category_id", "targets", "label_idx", "disease"],
)  # fmt: skip
def test_labels(name):
    assert label_rank(name) in (0, 1) and is_known(name)


@pytest.mark.parametrize(
    "name", ["width", "height", "num_classes", "label_quality", "class_count", "has_label", "xmin", "x", "score", ""]
)
def test_names_that_say_nothing(name):
    assert not is_known(name)


def test_a_plainer_name_ranks_before():
    assert path_rank("path") < path_rank("filename") < path_rank("id")
    assert label_rank("label") < label_rank("dog_breed") < label_rank("y")


def test_parts_and_groups():
    assert all(map(is_part, ["split", "Set", "subset", "partition", "phase"])) and not is_part("fold")
    assert all(map(may_be_part, ["fold", "Usage", "data_split", "dataset", "mode"])) and not may_be_part("breed")
    assert all(map(is_group, ["patient", "Patient ID", "subject_id", "scene", "lesion_id"])) and not is_group("breed")


def test_numbers_and_their_names_share_a_base():
    for number, name in (("label", "label_name"), ("class_id", "ClassName"), ("category_idx", "category")):
        assert label_base(number) == label_base(name)
    assert label_base("label_id") != label_base("class_name")
    assert plain(" Image-ID_") == "imageid"
