"""Classes from folders as a whole: wrappers, a repository around them, names of class and part, any tree."""

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.layouts.labelling import label_tree
from tests.support.trees import classes, label, parts, put, reasons, rows, write


def test_class_folders_are_torchvisions(tmp_path):
    import torchvision.datasets as datasets

    put(tmp_path, "cats/1.jpg", "dogs/2.jpg", "dogs/a.PNG", "Birds/3.jpg", "10/1.jpg", "9/1.jpg")
    known = datasets.ImageFolder(tmp_path)
    expected = {str(Path(path).relative_to(tmp_path)): (known.classes[n], "") for path, n in known.samples}
    found = label(tmp_path)
    assert rows(found) == expected
    assert (found.layout, found.labels_from, found.parts_from) == ("class-folders", "5 classes from folder names", "")


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


_PARTS = ("train", "test")


def test_a_repository_with_its_data_set_in_one_folder(tmp_path):
    put(tmp_path, *(f"dataset/{part}/{name}/1.jpg" for part in _PARTS for name in ("cat", "dog")), "screenshots/1.png")
    found = label(tmp_path)
    assert classes(found) == {"cat", "dog"} and parts(found) == {"train": 2, "test": 2}
    assert reasons(found)["screenshots/1.png"] == "lies beside the folder dataset, which holds the classes"
    assert any('`layout="class-folders"` takes the outermost' in note for note in found.notes)
    assert classes(label(tmp_path, layout="class-folders")) == {"dataset", "screenshots"}


@pytest.mark.parametrize("layout", ["auto", "part-folders"])
def test_an_unlabelled_test_folder_beside_the_wrapper_of_parts(tmp_path, layout):
    put(
        tmp_path, *(f"x/x/{part}/{name}/1.jpg" for part in ("train", "valid") for name in ("A", "B")), "test/test/1.jpg"
    )
    found = label(tmp_path, layout=layout)
    assert parts(found) == {"train": 2, "val": 2} and classes(found) == {"A", "B"}
    assert parts(label(tmp_path, layout=layout, unlabelled=True)) == {"train": 2, "val": 2, "test": 1}


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
