"""Labels from a pattern or a list that the user names, layouts by name, and what is no image set."""

import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.layouts.labelling import label_tree
from tests.support.trees import label, put, reasons, rows, write


def test_the_first_group_of_a_pattern_is_the_class(tmp_path):
    put(tmp_path, "a/cat.0.jpg", "b/cat.1.jpg", "dog.0.jpg")
    found = label(tmp_path, labels=r"([a-z]+)\.[0-9]+\.jpg$")
    assert rows(found) == {"a/cat.0.jpg": ("cat", ""), "b/cat.1.jpg": ("cat", ""), "dog.0.jpg": ("dog", "")}
    assert found.labels_from == r"2 classes from the paths by the expression ([a-z]+)\.[0-9]+\.jpg$"
    assert found.layout == "pattern"


def test_the_whole_relative_path_is_searched(tmp_path):
    put(tmp_path, "2019/cats/x.jpg", "2020/dogs/y.jpg")
    assert {name for name, _ in rows(label(tmp_path, labels="^[0-9]+/([^/]+)/")).values()} == {"cats", "dogs"}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("train/cat.0.jpg", "test1/dog.0.jpg"), ("train", "test")),
        (("x/train/cat.0.jpg", "x/dev/dog.1.jpg"), ("train", "val")),
        (("a/train/cat.0.jpg", "b/test/dog.1.jpg"), ("train", "test")),
        (("train/cat.0.jpg", "more/dog.1.jpg"), ("", "")),
    ],
)
def test_parts_still_come_from_folders(tmp_path, paths, expected):
    put(tmp_path, *paths)
    found = rows(label(tmp_path, labels=r"([a-z]+)\.[0-9]"))
    assert found == {path: (name, part) for path, name, part in zip(paths, ("cat", "dog"), expected, strict=True)}


def test_a_folder_that_may_be_a_part_is_said(tmp_path):
    put(tmp_path, "train/cat.0.jpg", "more/cat.1.jpg")
    note = 'the folder train is not taken for a part; `layout="part-folders"` does'
    assert note in label(tmp_path, labels=r"([a-z]+)\.[0-9]").notes
    assert rows(label(tmp_path, labels=r"([a-z]+)\.[0-9]", layout="part-folders"))["train/cat.0.jpg"] == (
        "cat",
        "train",
    )


def test_names_that_do_not_match(tmp_path):
    put(tmp_path, "cat.0.jpg", "dog.0.jpg", *(f"{i}.jpg" for i in range(5)))
    with pytest.raises(ImageSetError) as refused:
        label(tmp_path, labels=r"([a-z]+)\.[0-9]")
    assert "in 5 paths of 7 (0.jpg, 1.jpg, 2.jpg and 2 more)" in str(refused.value)
    assert "say `unlabelled=True` to take them without labels" in str(refused.value)
    found = label(tmp_path, labels=r"([a-z]+)\.[0-9]", unlabelled=True)
    assert rows(found)["0.jpg"] == (None, "") and rows(found)["cat.0.jpg"] == ("cat", "")
    assert found.notes == ["5 images without a label: the expression does not match"]


@pytest.mark.parametrize("unlabelled", [False, True])
def test_a_pattern_that_matches_nothing_is_refused(tmp_path, unlabelled):
    put(tmp_path, "1.jpg", "2.jpg")
    with pytest.raises(ImageSetError, match=r"in 2 paths of 2 \(1.jpg, 2.jpg\); .*; change the expression$"):
        label(tmp_path, labels="([a-z]+)_", unlabelled=unlabelled)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[a-z]+", r"is no file, and as a regular expression it has no group; put what is the class into parentheses"),
        ("([a-z]+", "is neither a file nor a regular expression: missing \\), unterminated"),
        ("labels.csv", "is no file, and as a regular expression it has no group"),
        ("(cat)?", "leaves its first group empty, in 1 path of 2"),
    ],
)
def test_patterns_that_cannot_be_used(tmp_path, pattern, message):
    put(tmp_path, "cat.0.jpg", "0.jpg")
    with pytest.raises(ImageSetError, match=message):
        label(tmp_path, labels=pattern if pattern != "(cat)?" else "^(cat)?")


def test_masks_are_no_rows_of_a_pattern(tmp_path):
    put(tmp_path, "images/Abyssinian_1.jpg", "images/beagle_1.jpg", "annotations/trimaps/Abyssinian_1.png")
    found = label(tmp_path, labels="([^/]+)_[0-9]+")
    assert set(rows(found)) == {"images/Abyssinian_1.jpg", "images/beagle_1.jpg"}
    assert "annotations/trimaps/Abyssinian_1.png" in reasons(found)


def test_a_class_in_two_unicode_forms_is_one(tmp_path):
    put(tmp_path, "caf\u00e9_1.jpg", "cafe\u0301_2.jpg")
    assert {name for name, _ in rows(label(tmp_path, labels="([^/]+)_")).values()} == {"caf\u00e9"}


@pytest.mark.parametrize("inside", [True, False])
def test_labels_in_a_list(tmp_path, inside, monkeypatch):
    put(tmp_path / "data", "1.jpg", "2.jpg")
    write(tmp_path / ("data" if inside else "."), "labels.csv", "path,label\n1.jpg,cat\n2.jpg,dog\n")
    found = label(tmp_path / "data", labels="labels.csv" if inside else str(tmp_path / "labels.csv"))
    assert rows(found) == {"1.jpg": ("cat", ""), "2.jpg": ("dog", "")}


def test_layouts_by_name(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    assert label(tmp_path, layout="class-folders").layout == "class-folders"
    with pytest.raises(
        UnknownNameError, match="unknown layout 'oxford-pet'; close matches: oxford-pets.*featstore layouts"
    ):
        label(tmp_path, layout="oxford-pet")
    with pytest.raises(ImageSetError, match='does not look like `layout="oxford-pets"`: images/Abyssinian_1.jpg'):
        label(tmp_path, layout="oxford-pets")


def test_the_more_specific_of_two_layouts_is_taken_and_said(tmp_path):
    for kind in ("daisy", "dandelion", "roses", "sunflowers", "tulips"):
        put(tmp_path, f"images/{kind}/1.jpg", f"images/{kind}/2.jpg")
        write(tmp_path, "LICENSE.txt", "CC-BY")
    lists = {part: "".join(f"{k}/{n}\n" for k in ("daisy", "tulips")) for part, n in (("train", 1), ("test", 2))}
    for part, lines in lists.items():
        write(tmp_path, f"meta/{part}.txt", lines)
        write(tmp_path, f"labels/{part}1.txt", lines.replace("\n", ".jpg\n"))
    write(tmp_path, "labels/val1.txt", "daisy/1.jpg\n")
    found = label(tmp_path)
    assert found.layout == "dtd"
    assert 'read as dtd, the more specific layout; it also looks like food-101 (`layout="food-101"`)' in found.notes
    assert label(tmp_path, layout="food-101").layout == "food-101"


def test_a_column_of_labels_that_folders_do_not_have(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    with pytest.raises(ImageSetError, match="read as class-folders, which has no columns; leave `label_column` out"):
        label(tmp_path, label_column="species")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, r"is empty; expected one sub-folder a class \(cats/1.jpg"),
        (
            "cats/notes.txt",
            r"holds no image; 1 entry was skipped, such as cats/notes.txt \(not a supported image: text\)",
        ),
        (".hidden/1.jpg", "is empty"),
    ],
)
def test_nothing_usable_is_one_sentence(tmp_path, name, message):
    if name:
        write(tmp_path, name, "hello")
    with pytest.raises(ImageSetError, match=message):
        label(tmp_path)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=8),
    st.lists(st.binary(min_size=1, max_size=8).filter(lambda b: not set(b) & set(b"/\0")), min_size=1),
)
def test_any_pattern_on_any_names_is_an_answer_or_a_sentence(pattern, names):
    names = sorted(set(names))
    tree = Tree(b"/root", names, [1] * len(names), [0] * len(names), [(b"", len(names))])
    try:
        found = label_tree(tree, Reading(labels=f"(.){pattern}", unlabelled=True))
    except ImageSetError as error:
        assert "`labels=" in str(error)
        return
    assert found.found.paths == names and any(name is not None for _, name, _ in found.found.runs)
