"""Which names mean a part, however people write them."""

import pytest
from hypothesis import given, strategies as st

from featstore.images.part_names import classes_with_parts, part_of, parts_of

WRITTEN = {
    "train": "train Train TRAIN training Training_Set train_set train-set trainset TrainingData train_images seg_train "
    "train2017 trainval train_val trainval2012 01_train train.1 train1 Trn",
    "val": "val Val valid VALID validation Validation_Set dev Dev-Set devset val2017 seg_val minival",
    "test": "test Test testing test_set test1 Test-2 TESTSET eval evaluation holdout hold_out Hold-Out held-out "
    "heldout seg_test PublicTest private_test",
    "": "pred seg_pred prediction unlabelled Unlabeled predict_images",
}
NONE = "cats images data set trains tested latest contest 0 17 train_cats trainA traintest train_labels test_masks dove"


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, names in WRITTEN.items() for name in names.split()])
def test_names_that_mean_a_part(part, name):
    assert part_of(name) == part
    assert part_of(name.encode()) == part


@pytest.mark.parametrize("name", [*NONE.split(), "", "猫", "\udcff"])
def test_names_that_mean_none(name):
    assert part_of(name) is None


@pytest.mark.parametrize("ending", ["", "_set", "-data", "Images", " 2", ".1"])
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("word", ["train", "val", "test"])
def test_capitals_endings_and_numbers_change_nothing(word, change, ending):
    assert part_of(change(word) + ending) == word


def test_one_word_that_neighbours_share_is_set_aside():
    assert parts_of([b"birds_train", b"birds_valid", b"birds"]) == {b"birds_train": "train", b"birds_valid": "val"}


@pytest.mark.parametrize(
    "names", [[b"train_cats", b"train_dogs", b"test_cats"], [b"train_wagon", b"car"], [b"train_a", b"train_a_2"], []]
)
def test_words_that_differ_or_a_single_part_mean_none(names):
    assert parts_of(names) == {}


def test_plain_names_go_before_shared_words():
    assert parts_of([b"train", b"test", b"x_val"]) == {b"train": "train", b"test": "test"}


def test_numbers_behind_a_further_name_are_not_left_out():
    assert parts_of([b"class1_train", b"class2_test"]) == {}
    assert parts_of([b"birds2011_train", b"birds2011_test"]) == {b"birds2011_train": "train", b"birds2011_test": "test"}


def test_classes_keep_their_capitals_and_numbers():
    found = classes_with_parts([b"train_Big_Cats", b"test-dogs2", b"val_Big_Cats"])
    assert list(found.values()) == [(b"Big_Cats", "train"), (b"dogs_2", "test"), (b"Big_Cats", "val")]


@pytest.mark.parametrize("names", [["train", "test"], ["train_a", "test_b", "c"], ["train_a", "test_a"], []])
def test_names_that_do_not_all_hold_class_and_part(names):
    assert classes_with_parts([name.encode() for name in names]) == {}


@given(st.binary() | st.text())
def test_any_name_has_an_answer(name):
    assert part_of(name) in {"train", "val", "test", "", None}
