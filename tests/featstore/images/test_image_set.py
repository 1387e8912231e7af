"""An image set: its fields, doubts about its labels, hold-out."""

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import ImageSetError
from featstore.images.image_set import ImageSet, Skipped, hold_out, stratified_sample


def made(labels, contents=None, splits=None, problems=None) -> ImageSet:
    """An image set without files; `contents` are numbers, equal ones stand for equal bytes."""
    n = len(labels)
    contents = range(n) if contents is None else contents
    digests = np.stack([np.frombuffer(hashlib.sha256(b"%d" % c).digest(), np.uint8) for c in contents])
    return ImageSet(
        name="made",
        root=b"/made",
        paths=tuple(b"%05d.jpg" % i for i in range(n)),
        digests=digests,
        sizes=np.full(n, 10, np.int64),
        mtimes=np.full(n, 5, np.int64),
        labels=np.array(labels, np.int64),
        splits=np.array(splits if splits is not None else [""] * n, dtype="<U5"),
        classes=tuple(f"c{i}" for i in range(max(labels) + 1)),
        problems=tuple(problems or [""] * n),
    )


def test_sets_are_equal_in_every_field_or_not_at_all():
    images = made([0, 1, 0])
    assert images.same_as(made([0, 1, 0]))
    changes = {
        "name": "other",
        "root": b"/",
        "paths": (b"a", b"b", b"c"),
        "digests": images.digests + 1,
        "sizes": images.sizes + 1,
        "mtimes": images.mtimes + 1,
        "labels": np.array([1, 1, 0]),
        "splits": np.array(["val", "", ""]),
        "classes": ("c0", "c2"),
        "problems": ("", "gone", ""),
        "skipped": (Skipped(b"x", "hidden"),),
        "groups": ("p1", "p1", ""),
        "kinds": ("JPEG", "", "JPEG"),
        "about": {"layout": "class folders"},
    }
    assert set(changes) == {field.name for field in dataclasses.fields(ImageSet)}
    for field, value in changes.items():
        assert not images.same_as(dataclasses.replace(images, **{field: value})), field
    assert not images.same_as(made([0, 1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digests": np.zeros((3, 16), np.uint8)}, r"digests is uint8 \(3, 16\), expected uint8 \(3, 32\)"),
        ({"sizes": np.zeros(2, np.int64)}, "sizes is"),
        ({"labels": np.zeros(3)}, "labels is float64"),
        ({"labels": np.array([0, 1, 7])}, "a label outside of its 2 classes"),
        ({"labels": np.array([0, 1, -2])}, "a label outside"),
        ({"groups": ("p1",)}, "1 groups for 3 images"),
        ({"kinds": ("JPEG",)}, "1 kinds for 3 images"),
        ({"problems": ("",)}, "1 problems for 3 images"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ImageSetError, match=message):
        dataclasses.replace(made([0, 1, 0]), **change)


def test_hold_out_is_stratified_and_leaves_the_rest_for_training():
    images = made([0] * 50 + [1] * 20 + [2] * 5)
    held = hold_out(images, "test", 0.2, seed=0)
    assert held.counts() == {
        "train": {"c0": 40, "c1": 16, "c2": 4},
        "test": {"c0": 10, "c1": 4, "c2": 1},
    }
    assert dataclasses.replace(held, splits=images.splits).same_as(images)


def test_hold_out_depends_on_bytes_and_seed_alone():
    contents = list(range(40))
    one = hold_out(made([i % 2 for i in contents], contents), "test", 0.25, seed=3)
    drawn = {one.digests[i].tobytes() for i in np.flatnonzero(one.splits == "test")}
    order = np.random.default_rng(0).permutation(40)
    other = hold_out(made([contents[i] % 2 for i in order], [contents[i] for i in order]), "test", 0.25, seed=3)
    assert {other.digests[i].tobytes() for i in np.flatnonzero(other.splits == "test")} == drawn
    another = hold_out(made([i % 2 for i in contents], contents), "test", 0.25, seed=4)
    assert {another.digests[i].tobytes() for i in np.flatnonzero(another.splits == "test")} != drawn


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=8, max_size=120),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 5),
)
def test_hold_out_never_puts_equal_files_in_two_parts(rows, fraction, seed):
    images = made([label for label, _ in rows], [content for _, content in rows])
    try:
        held = hold_out(images, "val", fraction, seed)
    except ImageSetError:
        home = {content: min(label for label, c in rows if c == content) for _, content in rows}
        assert max(list(home.values()).count(label) for label in home.values()) < 2
        return
    parts: dict[bytes, set[str]] = {}
    for digest, split in zip(held.digests, held.splits, strict=True):
        parts.setdefault(digest.tobytes(), set()).add(str(split))
    assert all(len(splits) == 1 for splits in parts.values())
    assert set(held.splits) == {"train", "val"}


def test_every_class_gives_one_and_keeps_one():
    images = made([0, 0, 1, 1, 2], contents=[0, 1, 2, 3, 4])
    held = hold_out(images, "test", 0.01, seed=0)
    assert held.counts()["test"] == {"c0": 1, "c1": 1, "c2": 0}
    held = hold_out(images, "test", 0.99, seed=0)
    assert held.counts()["train"] == {"c0": 1, "c1": 1, "c2": 1}


def test_hold_out_leaves_other_parts_and_unreadable_files_alone():
    images = made(
        [0] * 12,
        contents=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9],
        splits=["test"] * 3 + [""] * 4 + ["train"] * 3 + ["test", "train"],
        problems=[""] * 6 + ["gone"] + [""] * 5,
    )
    held = hold_out(images, "val", 0.5, seed=1)
    assert (held.splits[:3] == "test").all() and held.splits[10] == "test"
    assert held.splits[6] == "train"  # unreadable
    assert held.splits[9] == held.splits[11] == "train"  # the same bytes as a test image
    assert (held.splits == "val").sum() == 2  # of five that can be drawn


@pytest.mark.parametrize(
    ("name", "fraction", "message"),
    [
        ("train", 0.2, "a part called 'train'; expected val or test"),
        ("dev", 0.2, "'dev'; expected val or test"),
        ("test", 0.0, "a fraction of 0.0; expected a number between 0 and 1"),
        ("test", 1, "between 0 and 1"),
        ("test", float("nan"), "between 0 and 1"),
    ],
)
def test_hold_out_refuses_what_it_cannot_do(name, fraction, message):
    with pytest.raises(ImageSetError, match=message):
        hold_out(made([0, 0, 1, 1]), name, fraction, 0)


def test_hold_out_of_a_part_that_exists_or_of_nothing():
    with pytest.raises(ImageSetError, match="already has 1 images in test"):
        hold_out(made([0, 0, 1], splits=["", "", "test"]), "test", 0.2, 0)
    with pytest.raises(ImageSetError, match="no class has two different readable images"):
        hold_out(made([0, 0, 1], contents=[7, 7, 8]), "test", 0.2, 0)


def digests(contents) -> np.ndarray:
    return np.stack([np.frombuffer(hashlib.sha256(b"%d" % c).digest(), np.uint8) for c in contents])


def everything(n: int) -> np.ndarray:
    return np.ones(n, dtype=bool)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
def test_every_class_gives_its_fraction(fraction):
    labels = np.repeat([0, 1, 2], [100, 40, 20])
    drawn = stratified_sample(digests(range(160)), labels, everything(160), fraction, seed=1)
    assert np.bincount(labels[drawn]).tolist() == [round(100 * fraction), round(40 * fraction), round(20 * fraction)]


def test_seeds_draw_differently_and_evenly():
    labels = np.zeros(50, np.int64)
    times = sum(
        stratified_sample(digests(range(50)), labels, everything(50), 0.2, seed).astype(int) for seed in range(200)
    )
    assert times.sum() == 200 * 10
    assert times.min() > 15 and times.max() < 70  # 40 each on average


def test_copies_are_drawn_together_also_across_classes():
    contents = [1, 1, 1, 2, 3, 4, 5, 6, 7, 1]
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    for seed in range(20):
        drawn = stratified_sample(digests(contents), labels, everything(10), 0.4, seed)
        assert len(set(drawn[[0, 1, 2, 9]])) == 1
        assert drawn[:5].any() and not drawn[:5].all()


def test_only_what_may_be_drawn_is_drawn_and_a_single_picture_stays():
    drawable = everything(12)
    drawable[::2] = False
    drawn = stratified_sample(digests(range(12)), np.zeros(12, np.int64), drawable, 0.9, seed=0)
    assert drawn.sum() == 5 and not drawn[::2].any()
    assert not stratified_sample(digests([1, 1, 1]), np.zeros(3, np.int64), everything(3), 0.5, seed=0).any()


def test_a_subset_has_the_chosen_rows_of_every_column_and_keeps_classes():
    whole = dataclasses.replace(
        made([0, 1, 1, 0], splits=["train", "test", "train", "test"], problems=["", "", "", "gone"]),
        groups=("p", "p", "q", ""), skipped=(Skipped(b"a.txt", "text"),),
    )  # fmt: skip
    part = whole.subset(whole.splits == "test")
    assert part.paths == (whole.paths[1], whole.paths[3]) and part.problems == (whole.problems[1], whole.problems[3])
    assert part.groups == ("p", "") and part.classes == whole.classes and part.skipped == whole.skipped
    for field in ("digests", "sizes", "mtimes", "labels", "splits"):
        np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[[1, 3]])
    assert whole.subset(np.ones(4, bool)).same_as(whole) and len(whole.subset(np.zeros(4, bool))) == 0


def test_a_subset_takes_every_field_either_by_row_or_whole():
    whole = dataclasses.replace(
        made([0, 1, 1, 0], splits=["train", "test", "train", "test"], problems=["", "", "", "gone"]),
        mtimes=np.arange(4), sizes=np.arange(4) + 10, groups=("p", "p", "q", ""), kinds=("JPEG", "PNG", "JPEG", "BMP"),
        skipped=(Skipped(b"a.txt", "text"),), about={"layout": "folders"},
    )  # fmt: skip
    part = whole.subset(np.array([False, True, False, True]))
    as_they_are = {"name", "root", "classes", "skipped", "about"}
    for field in dataclasses.fields(ImageSet):
        all_of_it, some = getattr(whole, field.name), getattr(part, field.name)
        if field.name in as_they_are:
            assert some == all_of_it
        else:
            assert len(all_of_it) == 4 and list(map(str, some)) == [str(all_of_it[1]), str(all_of_it[3])], field.name
