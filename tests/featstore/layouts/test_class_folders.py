"""Classes from folders: parts around and inside of them, wrappers, nesting, names in two forms, folders of masks."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.layouts.labelling import label_tree
from tests.support.trees import label, parts, put, reasons, rows, write


def classes(found) -> set[str]:
    return {name for name, _ in rows(found).values()}


def test_class_folders_are_torchvisions(tmp_path):
    import torchvision.datasets as datasets

    put(tmp_path, "cats/1.jpg", "dogs/2.jpg", "dogs/a.PNG", "Birds/3.jpg", "10/1.jpg", "9/1.jpg")
    known = datasets.ImageFolder(tmp_path)
    expected = {str(Path(path).relative_to(tmp_path)): (known.classes[n], "") for path, n in known.samples}
    found = label(tmp_path)
    assert rows(found) == expected
    assert (found.layout, found.labels_from, found.parts_from) == ("class-folders", "5 classes from folder names", "")


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Training", "VALID", "Testing"),
        ("training_set", "dev", "test_set"),
        ("train", "dev", "eval"),
        ("TRAIN", "Validation", "holdout"),
        ("birds_train", "birds_val", "birds_test"),
        ("training_set/training_set", "val/images", "test_set/test_set"),
        ("archive/train", "archive/valid", "archive/test1"),
        ("a/b/train", "a/b/val", "a/b/test"),
        ("data/data/train", "data/data/val", "data/data/test"),
    ],
)
def test_part_folders_as_people_write_them(tmp_path, train, val, test):
    put(tmp_path, *(f"{part}/{name}/1.jpg" for part in (train, val, test) for name in ("cats", "dogs")))
    found = label(tmp_path)
    said = {f"{train}/": "train", f"{val}/": "val", f"{test}/": "test"}
    assert rows(found) == {f"{part}{name}/1.jpg": (name, s) for part, s in said.items() for name in ("cats", "dogs")}
    assert found.layout == "part-folders"
    assert found.parts_from.startswith("train, val and test from the folders ")


@pytest.mark.parametrize("inner", ["", "/images"])
def test_parts_inside_of_the_class_folders(tmp_path, inner):
    put(tmp_path, *(f"{c}/{p}{inner}/{i}.jpg" for c in ("cats", "dogs") for p in ("Train", "test") for i in range(2)))
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"} and parts(found) == {"train": 4, "test": 4}
    assert found.layout == "class-part-folders"
    assert found.parts_from == "train and test from the folders inside of the class folders"


def test_a_class_without_the_parts_that_others_have_inside(tmp_path):
    put(tmp_path, "cats/train/1.jpg", "cats/test/1.jpg", "dogs/1.jpg")
    with pytest.raises(ImageSetError, match=r"folders in cats \(test and train\) are parts, which dogs lacks"):
        label(tmp_path)
    assert rows(label(tmp_path, layout="class-folders"))["cats/train/1.jpg"] == ("cats", "")


@pytest.mark.parametrize("wrapper", ["pets/", "pets/pets/", "archive/data/", "test/"])
def test_wrapper_folders(tmp_path, wrapper):
    inner = "train/" if wrapper == "test/" else ""
    put(tmp_path, f"{wrapper}{inner}cats/1.jpg", f"{wrapper}{inner}dogs/1.jpg")
    if inner:
        put(tmp_path, f"{wrapper}val/cats/1.jpg")
    write(tmp_path, f"{wrapper}readme.txt", "about")
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"}
    assert found.notes == [f"the classes lie in the folder {wrapper[:-1]}"]


def test_one_folder_of_images_is_one_class_and_one_named_images_is_none(tmp_path):
    put(tmp_path / "a", "cats/1.jpg")
    assert classes(label(tmp_path / "a")) == {"cats"}
    put(tmp_path / "b", "images/1.jpg")
    with pytest.raises(ImageSetError, match="1 image in .*/b/images lie in no class folder"):
        label(tmp_path / "b")


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


def test_the_only_folder_of_every_part_wraps(tmp_path):
    put(tmp_path, *(f"{part}/dogs/{breed}/1.jpg" for part in ("train", "val") for breed in ("husky", "pug")))
    assert classes(label(tmp_path)) == {"husky", "pug"}


def test_one_folder_in_each_class_is_harmless_and_said(tmp_path):
    put(tmp_path, "a/airfield/1.jpg", "b/bakery/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"a", "b"}
    assert found.notes == [
        'class folders hold further folders (a/airfield): the outermost names the class, `class_from="leaf"` takes '
        "the innermost"
    ]
    assert classes(label(tmp_path, class_from="leaf")) == {"airfield", "bakery"}


def test_leaves_of_one_name_are_one_class_and_said(tmp_path):
    put(tmp_path, "church/indoor/1.jpg", "church/outdoor/1.jpg", "cinema/indoor/1.jpg")
    found = label(tmp_path, class_from="leaf")
    assert rows(found)["cinema/indoor/1.jpg"] == rows(found)["church/indoor/1.jpg"] == ("indoor", "")
    assert [note for note in found.notes if "church/indoor and cinema/indoor" in note]


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path):
    put(tmp_path, "train/caf\u00e9/1.jpg", "test/cafe\u0301/2.jpg", "train/tea/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"caf\u00e9", "tea"} and parts(found) == {"train": 2, "test": 1}
    assert found.notes == ["1 class written in two Unicode forms, taken as one: caf\u00e9"]


def test_a_name_in_the_form_of_a_mac_is_the_same_class_as_elsewhere(tmp_path):
    put(tmp_path, "cafe\u0301/1.jpg", "tea/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"caf\u00e9", "tea"} and not found.notes


def test_masks_beside_class_folders_are_left_out(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg", "masks/1.png")
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"}
    assert reasons(found)["masks/1.png"] == "holds masks or annotations by its name, no class"
    assert found.notes == ["1 image left out: holds masks or annotations by its name, no class (such as masks/1.png)"]
    assert classes(label(tmp_path, layout="class-folders")) == {"cats", "dogs", "masks"}


@pytest.mark.parametrize("paths", [("mask/1.jpg", "no_mask/1.jpg"), ("mask/1.jpg", "none/1.jpg", "wrong/1.jpg")])
def test_faces_with_and_without_a_mask_are_classes(tmp_path, paths):
    put(tmp_path, *paths)
    for layout in ("auto", "class-folders"):
        assert classes(label(tmp_path, layout=layout)) == {path.partition("/")[0] for path in paths}


@pytest.mark.parametrize("names", [("mask", "nomask"), ("part1", "part2")])
@pytest.mark.parametrize("inside", [False, True])
def test_classes_of_any_name_in_parts(tmp_path, names, inside):
    put(tmp_path, *(f"{name}/{part}/1.jpg" if inside else f"{part}/{name}/1.jpg" for name in names for part in _PARTS))
    for layout in ("auto", "part-folders"):
        found = label(tmp_path, layout=layout)
        assert classes(found) == set(names) and parts(found) == {"train": 2, "test": 2}


_PARTS = ("train", "test")


def test_shards_of_class_folders_are_one_heap(tmp_path):
    put(tmp_path, *(f"shard{i}/{name}/{i}.jpg" for i in range(2) for name in ("cat", "dog")))
    for reading in ({}, {"class_from": "leaf"}):
        found = label(tmp_path, **reading)
        assert classes(found) == {"cat", "dog"} and '`class_from="top"` takes shard0 and shard1' in found.notes[0]
    assert classes(label(tmp_path, class_from="top")) == {"shard0", "shard1"}


def test_a_repository_with_its_data_set_in_one_folder(tmp_path):
    put(tmp_path, *(f"dataset/{part}/{name}/1.jpg" for part in _PARTS for name in ("cat", "dog")), "screenshots/1.png")
    found = label(tmp_path)
    assert classes(found) == {"cat", "dog"} and parts(found) == {"train": 2, "test": 2}
    assert reasons(found)["screenshots/1.png"] == "lies beside the folder dataset, which holds the classes"
    assert any('`layout="class-folders"` takes the outermost' in note for note in found.notes)
    assert classes(label(tmp_path, layout="class-folders")) == {"dataset", "screenshots"}


def test_a_nested_class_among_classes_names_the_inner_folder(tmp_path):
    put(tmp_path, "car/sedan/1.jpg", "car/suv/2.jpg", "bus/1.jpg", "truck/1.jpg")
    with pytest.raises(ImageSetError, match="where all classes lie in car, give .*/car as DATA"):
        label(tmp_path)


@pytest.mark.parametrize("layout", ["auto", "part-folders"])
def test_an_unlabelled_test_folder_beside_the_wrapper_of_parts(tmp_path, layout):
    put(
        tmp_path, *(f"x/x/{part}/{name}/1.jpg" for part in ("train", "valid") for name in ("A", "B")), "test/test/1.jpg"
    )
    found = label(tmp_path, layout=layout)
    assert parts(found) == {"train": 2, "val": 2} and classes(found) == {"A", "B"}
    assert parts(label(tmp_path, layout=layout, unlabelled=True)) == {"train": 2, "val": 2, "test": 1}


def test_parts_inside_of_a_part(tmp_path):
    put(tmp_path, *(f"{part}/{name}/1.jpg" for part in ("train/train", "train/val", "test") for name in ("A", "B")))
    for reading in ({}, {"layout": "part-folders", "class_from": "leaf"}):
        found = label(tmp_path, **reading)
        assert parts(found) == {"train": 2, "val": 2, "test": 2} and classes(found) == {"A", "B"}
    assert found.parts_from == "train, val and test from the folders train/train, train/val and test"


@pytest.mark.parametrize("layout", ["auto", "part-folders"])
def test_labelled_and_unlabelled_folders(tmp_path, layout):
    put(tmp_path, "labeled/A/1.jpg", "labeled/B/1.jpg", "unlabeled/2.jpg")
    assert classes(label(tmp_path, layout=layout)) == {"A", "B"}
    assert classes(label(tmp_path, layout=layout, unlabelled=True)) == {"A", "B", None}


def test_parts_in_one_class_of_two_can_be_read_both_ways(tmp_path):
    put(tmp_path, "cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg")
    with pytest.raises(ImageSetError, match='lacks .`layout="part-folders"`., or they belong .*"class-folders"'):
        label(tmp_path)
    assert parts(label(tmp_path, layout="part-folders")) == {"train": 1, "test": 1, "": 1}
    assert classes(label(tmp_path, layout="class-folders")) == {"cat", "dog"}


def test_a_dummy_class_folder_in_test_holds_unlabelled_images(tmp_path):
    put(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/0/1.jpg")
    found = label(tmp_path)
    assert parts(found) == {"train": 2} and "for its only folder, 0, is no class of train" in found.notes[0]
    assert parts(label(tmp_path, unlabelled=True)) == {"train": 2, "test": 1}


@pytest.mark.parametrize("names", [("images", "masks"), ("images", "annotations"), ("photos", "ground_truth")])
def test_pictures_beside_their_masks(tmp_path, names):
    put(tmp_path, *(f"{name}/{kind}/1.png" for name in names for kind in ("cats", "dogs")))
    found = label(tmp_path)
    assert rows(found) == {f"{names[0]}/{kind}/1.png": (kind, "") for kind in ("cats", "dogs")}
    assert f"{names[1]}/cats/1.png" in reasons(found)


def test_train_among_vehicles_is_a_class(tmp_path):
    put(tmp_path, "car/1.jpg", "train/2.jpg", "plane/3.jpg")
    assert classes(label(tmp_path)) == {"car", "train", "plane"}


def test_a_folder_of_unlabelled_test_images_beside_classes_has_two_readings(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg", "test/1.jpg")
    with pytest.raises(ImageSetError, match="test is a part whose images have no label .*, or a class like cats"):
        label(tmp_path)
    assert classes(label(tmp_path, layout="class-folders")) == {"cats", "dogs", "test"}
    assert classes(label(tmp_path, layout="part-folders")) == {"cats", "dogs"}
    bare = label(tmp_path, layout="part-folders", unlabelled=True)
    assert rows(bare)["test/1.jpg"] == (None, "test") and rows(bare)["cats/1.jpg"] == ("cats", "train")


def test_a_labelled_test_part_beside_class_folders(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg", "test/cats/2.jpg", "test/dogs/2.jpg")
    with pytest.raises(ImageSetError, match="test is a part .*, or a class like cats beside it"):
        label(tmp_path)
    found = label(tmp_path, layout="part-folders")
    assert parts(found) == {"train": 2, "test": 2} and classes(found) == {"cats", "dogs"}


def test_unlabelled_images_of_a_part_are_left_out_and_said(tmp_path):
    put(tmp_path, "train/cats/1.jpg", "train/dogs/1.jpg", "test1/1.jpg", "test1/2.jpg")
    found = label(tmp_path)
    assert parts(found) == {"train": 2} and found.parts_from == "train from the folder train"
    told = "2 images in test1 left out, for no class folders lie in it; `unlabelled=True` takes them without labels"
    assert found.notes == [told]
    assert rows(label(tmp_path, unlabelled=True))["test1/1.jpg"] == (None, "test")


def test_folders_beside_the_parts_are_left_out_and_said(tmp_path):
    put(tmp_path, "train/cats/1.jpg", "train/dogs/1.jpg", "test/cats/1.jpg", "extra/cats/1.jpg")
    found = label(tmp_path)
    assert reasons(found)["extra/cats/1.jpg"] == "lies in a folder beside the part folders"
    assert [note for note in found.notes if "extra/cats/1.jpg" in note]


def test_two_names_for_one_part(tmp_path):
    put(tmp_path, "val/cats/1.jpg", "valid/dogs/2.jpg", "train/cats/3.jpg", "train/dogs/1.jpg")
    with pytest.raises(ImageSetError, match='val and valid, which both mean val; keep one, or .*"part-folders"'):
        label(tmp_path)
    assert parts(label(tmp_path, layout="part-folders")) == {"train": 2, "val": 2}


def test_part_folders_that_are_asked_for_and_not_there(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    with pytest.raises(ImageSetError, match="no folder that is named like a part .*; it holds cats and dogs"):
        label(tmp_path, layout="part-folders")


@pytest.mark.parametrize("paths", [("1.jpg", "2.jpg"), ("train/1.jpg", "test/2.jpg"), ("images/1.jpg",)])
def test_flat_folders_are_refused_or_taken_without_labels(tmp_path, paths):
    put(tmp_path, *paths)
    with pytest.raises(ImageSetError, match="lie in no class folder .*`labels`.*`unlabelled=True`"):
        label(tmp_path)
    found = label(tmp_path, unlabelled=True)
    assert set(rows(found)) == set(paths) and classes(found) == {None}
    assert found.labels_from == ""


def test_a_pattern_is_offered_where_names_show_the_class(tmp_path):
    put(tmp_path, *(f"{name}_{i}.jpg" for name in ("Abyssinian", "great_pyrenees") for i in range(3)))
    with pytest.raises(ImageSetError) as refused:
        label(tmp_path)
    pattern = str(refused.value).partition('`labels="')[2].partition('"`')[0]
    assert "would give 2 classes such as Abyssinian" in str(refused.value)
    assert classes(label(tmp_path, labels=pattern)) == {"Abyssinian", "great_pyrenees"}


def test_loose_images_are_left_out_or_unlabelled(tmp_path):
    put(tmp_path, "loose.jpg", "train/loose.jpg", "train/cats/1.jpg", "val/cats/2.jpg")
    found = label(tmp_path)
    assert set(rows(found)) == {"train/cats/1.jpg", "val/cats/2.jpg"}
    assert reasons(found) == dict.fromkeys(["loose.jpg", "train/loose.jpg"], "lies in no class folder")
    assert rows(label(tmp_path, unlabelled=True))["train/loose.jpg"] == (None, "train")


def test_left_out_images_are_looked_at_again(tmp_path):
    """A reason with a size is remembered for a file that is no image."""
    put(tmp_path, "loose", "cats/1.jpg", "dogs/1.jpg")
    assert [one.size for one in label(tmp_path).skipped if one.path == b"loose"] == [-1]


def test_empty_class_folders_are_noted(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    (tmp_path / "birds").mkdir()
    assert reasons(label(tmp_path)) == {"birds": "a folder without images"}


@pytest.mark.parametrize(
    ("names", "first"),
    [(("train_cats", "train_dogs", "test_cats", "test_dogs"), "cats"), (("trainA", "trainB", "testA", "testB"), "A")],
)
def test_names_that_hold_class_and_part_have_two_readings(tmp_path, names, first):
    put(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(2)))
    with pytest.raises(ImageSetError, match=f"two readings: .* is test of the class {first} .*part-folders"):
        label(tmp_path)
    assert classes(label(tmp_path, layout="class-folders")) == set(names)
    found = label(tmp_path, layout="part-folders")
    assert first in classes(found) and len(classes(found)) == 2 and parts(found) == {"train": 4, "test": 4}
    assert found.parts_from == "train and test from the names of the class folders"


@pytest.mark.parametrize(
    "names", [("set_images_part_1", "set_images_part_2"), ("images_001/images", "images_002/images")]
)
def test_pieces_of_one_heap_are_no_classes(tmp_path, names):
    put(tmp_path, *(f"{name}/{i}.jpg" for name in names for i in range(2)))
    write(tmp_path, "metadata.csv", "id,dx\n1,nv\n")
    with pytest.raises(ImageSetError, match='look like pieces of one heap .*class-folders.*`labels="metadata.csv"`'):
        label(tmp_path)
    assert classes(label(tmp_path, layout="class-folders")) == {name.partition("/")[0] for name in names}
    assert classes(label(tmp_path, unlabelled=True)) == {None}


def test_numbered_classes_are_classes(tmp_path):
    put(tmp_path, "class_1/1.jpg", "class_2/1.jpg")
    assert classes(label(tmp_path)) == {"class_1", "class_2"}


def test_a_list_beside_unlabelled_images_is_offered(tmp_path):
    put(tmp_path, "train/1.jpg", "test/2.jpg")
    write(tmp_path, "labels.csv", "id,breed\n1,beagle\n")
    with pytest.raises(ImageSetError, match=r'where a list has the classes, name it \(`labels="labels.csv"`\)'):
        label(tmp_path)


def test_folders_that_only_say_images_in_every_part_are_no_class(tmp_path):
    put(tmp_path, "train/images/1.jpg", "val/images/1.jpg")
    write(tmp_path, "train/labels/1.txt", "0 0.5 0.5 1 1")
    with pytest.raises(ImageSetError, match="2 images in .* lie in no class folder"):
        label(tmp_path)


def test_parts_that_wrap_a_folder_of_their_own_name(tmp_path):
    put(tmp_path, *(f"asl_train/asl_train/{name}/1.jpg" for name in "AB"), "asl_test/asl_test/A_test.jpg")
    found = label(tmp_path)
    assert classes(found) == {"A", "B"} and "asl_test/asl_test/A_test.jpg" in reasons(found)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([None, "leaf"]),
)
def test_any_tree_is_read_completely_or_refused_in_words(paths, unlabelled, class_from):
    """Every image is a row or skipped, once; whatever folders are called."""
    files = sorted({"/".join(path[:-1] + ["_" + path[-1]]).encode() for path in paths})
    homes: dict[bytes, list[bytes]] = {b"": []}
    for file in files:
        home = file.rpartition(b"/")[0]
        homes.setdefault(home, []).append(file)
        while home:
            home = home.rpartition(b"/")[0]
            homes.setdefault(home, [])
    order = [file for home in homes for file in homes[home]]
    tree = Tree(b"/root", order, [1] * len(order), [0] * len(order), [(home, len(homes[home])) for home in homes])
    try:
        found = label_tree(tree, Reading(unlabelled=unlabelled, class_from=class_from))
    except ImageSetError as error:
        assert "; " in str(error)
        return
    taken, left = found.found.paths, [one.path for one in found.skipped if one.path in tree.row_of]
    assert sorted(taken + left) == files
    assert sum(count for count, _, _ in found.found.runs) == len(taken) > 0
    assert {split for _, _, split in found.found.runs} <= {"", "train", "val", "test"}


def test_names_that_are_no_text(tmp_path):
    put(tmp_path, os.fsdecode(b"caf\xe9/1.jpg"), "tea/1.jpg")
    assert {name for _, name, _ in label(tmp_path).found.runs} == {b"caf\xe9", b"tea"}


def test_images_directly_in_a_class_folder_name_the_class_of_those_below(tmp_path):
    put(tmp_path, "cats/more/1.jpg", "cats/2.jpg", "dogs/1.jpg")
    found = label(tmp_path)
    assert classes(found) == {"cats", "dogs"}
    assert any("class folders hold further folders (cats/more)" in note for note in found.notes)


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


def test_one_folder_of_pictures_that_a_list_names_is_no_class(tmp_path):
    put(tmp_path, "ISIC-images/a1.jpg", "ISIC-images/a2.jpg")
    write(tmp_path, "gt.csv", "image,MEL,NV\na1,1.0,0.0\na2,0.0,1.0\n")
    with pytest.raises(ImageSetError, match='a list names them.*`labels="gt.csv"`'):
        label(tmp_path)
    assert classes(label(tmp_path, labels="gt.csv")) == {"MEL", "NV"}


def test_the_list_that_is_offered_has_labels_of_the_images(tmp_path):
    put(tmp_path, "train/1.jpg", "train/2.jpg", "test/3.jpg")
    write(tmp_path, "train.csv", "image_id,label\n1.jpg,a\n2.jpg,b\n")
    write(tmp_path, "a_test.csv", "image_id\n3.jpg\n")
    write(tmp_path, "sample_submission.csv", "image_id,label\n3.jpg,a\n")
    with pytest.raises(ImageSetError, match='`labels="train.csv"`'):
        label(tmp_path)
