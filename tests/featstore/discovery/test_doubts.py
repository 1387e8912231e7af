"""What looks misread about classes and parts."""

import numpy as np
import pytest

from featstore.discovery.doubts import find_doubts, require_no_doubt
from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.image_set import ImageSet


def images(labels, classes, splits="", *, contents=None, paths=None) -> ImageSet:
    n = len(labels)
    digests = np.zeros((n, 32), np.uint8)
    digests[:, 0] = 1
    digests.view("<u4")[:, 1] = np.arange(n) if contents is None else contents
    return ImageSet(
        name="pets",
        root=b"/pets",
        paths=tuple(b"%05d.jpg" % i for i in range(n)) if paths is None else tuple(paths),
        digests=digests,
        sizes=np.full(n, 900),
        mtimes=np.zeros(n, np.int64),
        labels=np.asarray(labels, np.int64),
        splits=np.array([splits] * n if isinstance(splits, str) else splits, dtype="<U5"),
        classes=tuple(classes),
        problems=("",) * n,
    )


def names(found: ImageSet) -> dict[str, bool]:
    return {doubt.name: doubt.refuses for doubt in find_doubts(found)}


@pytest.mark.parametrize(
    "classes",
    [("cat", "dog"), ("training shoes", "running shoes"), ("photo", "sketch"), ("cat and dog", "other"), ("1", "2"),
     ("good", "broken"), ("Golden Retriever, male", "x")],
)  # fmt: skip
def test_ordinary_classes_raise_none(classes):
    assert names(images([0, 1] * 4, classes)) == {}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("train", "test1"), {"part-like-classes": True}),
        (("seg_pred", "seg_test", "seg_train"), {"part-like-classes": True}),
        (("cat", "dog", "test"), {"part-like-classes": False}),
        (("annotations", "images"), {"folders-as-classes": True}),
        (("JPEGImages", "SegmentationClass"), {"folders-as-classes": True}),
        (("cat", "dog", "masks"), {"folders-as-classes": False}),
        (("@eaDir", "cat", "dog"), {"system-classes": False}),
        (("Cat", "cat", "dog"), {"names-alike": False}),
        (("tabby_cat", "tabby cat"), {"names-alike": False}),
        (("caf\u00e9", "cafe\u0301"), {"names-alike": False}),
        (("x" * 300, "dog"), {"long-names": False}),
    ],
)
def test_names_of_something_else(classes, expected):
    assert names(images(list(range(len(classes))) * 3, classes)) == expected


def test_one_class_with_folders_in_it():
    paths = [b"photos/cats/1.jpg", b"photos/cats/2.jpg", b"photos/dogs/1.jpg"]
    (doubt,) = find_doubts(images([0, 0, 0], ["photos"], paths=paths))
    assert doubt.text == (
        "only one class, 'photos'; classifiers need two; it has sub-folders (cats, ...): are these the classes?"
    )


def test_labels_that_look_like_several():
    rows = ["ant,red", "ant,black", "bee,red", "bee,black"]
    assert names(images([0, 1, 2, 3], rows)) == {"several-labels": True}
    assert names(images([0, 1, 2, 3] * 5, rows)) == {"several-labels": False}
    assert names(images(list(range(12)), [f"photo of number {i}" for i in range(12)])) == {"unique-labels": False}


def test_the_same_bytes_in_two_classes():
    found = find_doubts(images([0, 0, 0, 1, 1, 1], "ab", contents=[0, 1, 2, 3, 4, 0]))
    assert [(doubt.name, doubt.refuses) for doubt in found] == [("same-bytes-in-two-classes", False)]
    assert "2 images have the same bytes as one of another class, such as 00000.jpg and 00005.jpg" in found[0].text
    assert names(images([0, 0, 1, 1], "ab", contents=[0, 1, 1, 0])) == {"same-bytes-in-two-classes": True}


def test_parts():
    assert names(images([0, 1, 0, 1], "ab", ["train", "train", "test", "test"])) == {}
    assert names(images([0, 0, 1, 1], "ab", ["train", "train", "test", "test"])) == {"parts-without-common-class": True}
    assert names(images([0, 1, 0, 2], "abc", ["train", "train", "test", "test"])) == {"class-in-one-part": False}
    copied = images([0, 1, 0, 1], "ab", ["train", "train", "test", "test"], contents=[0, 1, 0, 3])
    (doubt,) = find_doubts(copied)
    assert doubt.text == "1 image in test is in train as well, byte for byte; they make every score too good"


def test_images_without_a_label_are_no_class():
    assert names(images([0, 1, -1, -1], "ab", ["train", "train", "test", "test"])) == {}
    assert names(images([-1, -1], "", contents=[0, 0])) == {}


def test_what_could_only_be_nonsense_is_refused_until_it_is_allowed():
    found = images([0, 1] * 3, ("train", "test1"))
    found = found.with_about(doubts=[doubt.to_json() for doubt in find_doubts(found)])
    with pytest.raises(ImageSetError, match=r"names of parts.*allow it with `allow=\"part-like-classes\"`"):
        require_no_doubt(found, ["one-class"])
    require_no_doubt(found, ["part-like-classes"])


def test_a_hundred_thousand_classes_are_looked_at_quickly():
    n = 100_000
    many = images(np.arange(n), [f"class {i}" for i in range(n)])
    assert names(many) == {"unique-labels": False}


@pytest.mark.parametrize("classes", [("1", "-1", "0"), ("1,000", "1,001"), ("Art and Science", "Science and Nature"),
                                     ("American Bulldog", "American Pit Bull", "Pit Bull Terrier")])  # fmt: skip
def test_names_that_only_look_like_something_else(classes):
    assert names(images(list(range(len(classes))), classes)) == {}


@pytest.mark.parametrize("combined", ["scab rust", "scab+rust", "scab/rust", "scab, rust"])
def test_labels_put_together_from_others(combined):
    assert "several-labels" in names(images([0, 1, 2] * 2, ("rust", "scab", combined)))


def test_what_a_list_says_of_several_labels_is_a_doubt():
    told = images([0, 1] * 2, ("['a','b']", "['b']")).with_about(
        notes=["labels look like several (lists), such as ..."]
    )
    assert "several-labels" in names(told)


def test_empty_files_are_no_copies():
    empty = images([0, 0, 1, 1], "ab", contents=[0, 1, 1, 0])
    object.__setattr__(empty, "sizes", np.zeros(4, np.int64))
    assert names(empty) == {}


def test_a_group_in_two_parts():
    divided = images([0, 1, 0, 1], "ab", ["train", "train", "test", "test"])
    object.__setattr__(divided, "groups", ("p1", "p2", "p1", ""))
    (doubt,) = find_doubts(divided)
    assert doubt.text == "1 group ('p1') is in train and in test; what belongs together was divided"


def test_the_name_of_no_doubt_is_refused_with_close_ones():
    with pytest.raises(UnknownNameError, match="unknown doubt 'one-clas'; close matches: one-class"):
        require_no_doubt(images([0], "a"), ["one-clas"])
