"""The class of a branch: outermost, innermost, path; nesting; names in two forms."""

import os

import pytest

from featstore.errors import ImageSetError
from tests.support.trees import classes, label, parts, put, rows


@pytest.mark.parametrize("inner", ["images", "img", "JPEGImages/data"])
def test_folders_that_only_say_images_inside_of_classes(tmp_path, inner):
    put(tmp_path, f"n01/{inner}/1.jpg", f"n02/{inner}/1.jpg", "n03/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"n01", "n02", "n03"} and not found.notes
    assert classes(label(tmp_path, class_from="leaf")) == {"n01", "n02", "n03"}


NESTED = ("Hymenoptera/Formicidae/ants/1.jpg", "Hymenoptera/Apidae/bees/1.jpg", "Coleoptera/x/beetle/1.jpg")


@pytest.mark.parametrize("wrapper", ["", "train/"])
def test_nested_classes_are_refused_until_it_is_said_which(tmp_path, wrapper):
    put(tmp_path, *(wrapper + path for path in NESTED))
    with pytest.raises(ImageSetError) as refused:
        label(tmp_path)
    assert "two readings" in str(refused.value)
    assert '2 classes by the outermost such as Hymenoptera (`class_from="top"`)' in str(refused.value)
    assert '3 classes by the innermost such as ants (`class_from="leaf"`' in str(refused.value)
    assert classes(label(tmp_path, class_from="top")) == {"Hymenoptera", "Coleoptera"}
    assert classes(label(tmp_path, class_from="leaf")) == {"ants", "bees", "beetle"}
    assert classes(label(tmp_path, class_from="path")) == {
        "Hymenoptera/Formicidae/ants", "Hymenoptera/Apidae/bees", "Coleoptera/x/beetle",
    }  # fmt: skip


@pytest.mark.parametrize("more", ["cats/more/deep/2.jpg", "cats/others/2.jpg"])
def test_images_at_different_depths_are_nested(tmp_path, more):
    put(tmp_path, "cats/more/1.jpg", more, "dogs/1.jpg")
    with pytest.raises(ImageSetError, match="two readings, for class folders lie in class folders"):
        label(tmp_path)
    assert classes(label(tmp_path, class_from="top")) == {"cats", "dogs"}


def test_other_inner_folders_in_train_than_in_test_are_nested(tmp_path):
    put(tmp_path, "train/cats/indoor/1.jpg", "test/cats/outdoor/1.jpg", "train/dogs/1.jpg", "test/dogs/1.jpg")
    with pytest.raises(ImageSetError, match="two readings"):
        label(tmp_path)


def test_inner_folders_of_one_name_in_some_classes_are_nested(tmp_path):
    put(tmp_path, "farm/cow/1.jpg", "field/cow/1.jpg", "stable/horse/1.jpg")
    with pytest.raises(ImageSetError, match="two readings.*3 classes by the outermost.*2 classes by the innermost"):
        label(tmp_path)


def test_a_folder_of_one_name_in_every_class_is_harmless(tmp_path):
    put(tmp_path, "cats/hires/1.jpg", "dogs/hires/1.jpg")
    assert classes(label(tmp_path)) == {"cats", "dogs"}


def test_one_folder_in_each_class_is_harmless_and_said(tmp_path):
    put(tmp_path, "a/airfield/1.jpg", "b/bakery/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"a", "b"}
    assert found.notes == [
        'class folders hold further folders (a/airfield): the outermost names the class, `class_from="leaf"` takes '
        "the innermost"
    ]
    assert classes(label(tmp_path, class_from="leaf")) == {"airfield", "bakery"}


def test_images_directly_in_a_class_folder_name_the_class_of_those_below(tmp_path):
    put(tmp_path, "cats/more/1.jpg", "cats/2.jpg", "dogs/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"}
    assert any("class folders hold further folders (cats/more)" in note for note in found.notes)


def test_leaves_of_one_name_are_one_class_and_said(tmp_path):
    put(tmp_path, "church/indoor/1.jpg", "church/outdoor/1.jpg", "cinema/indoor/1.jpg")
    found = label(tmp_path, class_from="leaf")
    assert rows(found)["cinema/indoor/1.jpg"] == rows(found)["church/indoor/1.jpg"] == ("indoor", "")
    assert [note for note in found.notes if "church/indoor and cinema/indoor" in note]


def test_a_nested_class_among_classes_names_the_inner_folder(tmp_path):
    put(tmp_path, "car/sedan/1.jpg", "car/suv/2.jpg", "bus/1.jpg", "truck/1.jpg")
    with pytest.raises(ImageSetError, match="where all classes lie in car, give .*/car as DATA"):
        label(tmp_path)


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path):
    put(tmp_path, "train/caf\u00e9/1.jpg", "test/cafe\u0301/2.jpg", "train/tea/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"caf\u00e9", "tea"} and parts(found) == {"train": 2, "test": 1}
    assert found.notes == ["1 class written in two Unicode forms, taken as one: caf\u00e9"]


def test_a_name_in_the_form_of_a_mac_is_the_same_class_as_elsewhere(tmp_path):
    put(tmp_path, "cafe\u0301/1.jpg", "tea/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"caf\u00e9", "tea"} and not found.notes


def test_names_that_are_no_text(tmp_path):
    put(tmp_path, os.fsdecode(b"caf\xe9/1.jpg"), "tea/1.jpg")
    assert {name for _, name, _ in label(tmp_path).found.runs} == {b"caf\xe9", b"tea"}
