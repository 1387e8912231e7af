import contextlib
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from classifiers.leakage.filename_groups import find_filename_groups
from classifiers.leakage.filename_patterns import PATTERNS
from classifiers.validation.splits import group_by
from featstore.errors import FeaturesError
from tests.support.feature_sets import copies


def named(form, source, y):
    return tuple(
        form.format(c=f"class{c}", s=s, i=i) for i, (s, c) in enumerate(zip(source.tolist(), y.tolist(), strict=True))
    )


@pytest.mark.parametrize(
    "form",
    [
        "{c}/_{s}_{i}.jpeg",
        "{c}/cell-{s}-{i}.png",
        "{c}/photo{s}_jpg.rf.{i:08x}.jpg",
        "{c}/img{s}_aug{i}.png",
        "{c}/IMG {s} ({i}).jpg",
        "{c}/patient{s}/slice{i}.png",
        "{c}/p{s}_left_x{i}y.png",
    ],
)
def test_sources_are_read_off_common_forms_of_names(form):
    X, y, source = copies(sources=90, each=4)
    best, _ = find_filename_groups(named(form, source, y), y, X)
    assert best is not None and best.evidence > 0.9
    _, ours = np.unique(best.groups, return_inverse=True)
    _, theirs = np.unique(source, return_inverse=True)
    pairs = np.unique(np.stack([ours, theirs], axis=1), axis=0)
    assert len(pairs) == 90  # the same partition


def test_a_counter_is_no_source():
    X, y, source = copies(sources=90, each=4)
    counter = np.random.default_rng(0).permutation(source)
    best, rejected = find_filename_groups(named("{c}/_{s}_{i}.jpeg", counter, y), y, X)
    assert best is None
    assert rejected and abs(rejected[0].evidence - 0.5) < 0.1


@pytest.mark.parametrize("form", ["{c}/{c}.{i}.jpg", "{c}/{i}.jpg", "{c}/{c}_{i}.jpg"])
def test_plain_numbering_groups_nothing(form):
    X, y, source = copies(sources=90, each=4)
    assert find_filename_groups(named(form, source, y), y, X) == (None, [])


def test_long_runs_of_separators_take_no_time():
    names = tuple(f"a/{'_' * 240}{i}.jpg" for i in range(50)) + ("b" + "/_.-" * 1000 + "x",)
    began = time.perf_counter()
    for pattern in PATTERNS:
        with contextlib.suppress(FeaturesError):
            group_by(names, pattern.anywhere)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("name", ["photo_aug3.png", "photo - copy.png", "photo_flip_rot.png", "photo copy (2).png"])
def test_copies_share_the_stem_before_the_first_word_that_tells(name):
    assert re.search(PATTERNS[1].anywhere, name)[1] == "photo"


def hashed(rng, digits):
    return "".join(rng.choice(list("0123456789abcdef"), digits))


@pytest.mark.parametrize("form", ["{hash}.jpg", "{hash}_{hash2}.jpg", "img-{uuid}.png"])
def test_random_ids_are_no_sources(form):
    X, y, _ = copies(sources=90, each=4)
    rng = np.random.default_rng(0)
    names = []
    for c in y:
        h = hashed(rng, 32)
        uuid = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
        names.append(f"class{c}/" + form.format(hash=h, hash2=hashed(rng, 16), uuid=uuid))
    assert find_filename_groups(tuple(names), y, X)[0] is None


def test_a_whole_id_may_be_a_source():
    X, y, source = copies(sources=90, each=4)
    rng = np.random.default_rng(0)
    ids = [hashed(rng, 20) for _ in range(90)]
    names = tuple(f"class{c}/{ids[s]}_{i}.png" for i, (c, s) in enumerate(zip(y, source, strict=True)))
    best, _ = find_filename_groups(names, y, X)
    assert best is not None and len(np.unique(best.groups)) == 90


def test_few_groups_prove_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8)).astype(np.float32)
    person = np.where(np.arange(60) < 12, np.arange(60) // 2, np.arange(60))
    X[1:12:2] = X[0:12:2] + 0.01  # six pairs, as alike as can be
    names = tuple(f"person{p}-{i}.jpg" for i, p in enumerate(person))
    best, rejected = find_filename_groups(names, np.arange(60) // 30, X)
    assert best is None and rejected[0].evidence > 0.75 > 0.6 > rejected[0].at_least


@pytest.mark.parametrize(
    "form", ["{c}/{c}.{i}.jpg", "{c}/IMG_{i:04d}.jpg", "{c}/DSC{i:05d}.JPG", "{c}/2021-05-{i}.jpg"]
)
def test_cameras_and_counters_group_nothing(form):
    X, y, source = copies(sources=90, each=4)
    assert find_filename_groups(named(form, source, y), y, X)[0] is None


def restarting(source, y):
    """Numbers that start again in every class."""
    found = np.zeros_like(source)
    for c in np.unique(y):
        found[y == c] = np.unique(source[y == c], return_inverse=True)[1]
    return found


def same_partition(ours, theirs):
    pairs = np.unique(np.stack([ours, theirs], axis=1), axis=0)
    return len(pairs) == len(np.unique(ours)) == len(np.unique(theirs))


VARIANTS = ("", "_rot90", "_flip", " - Copy", " (2)", "-aug3", "_bright_1")


@pytest.mark.parametrize("classes", [1, 2, 15])
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_variants_of_an_original_are_one_source_however_many_classes_and_folders(classes, parts, restart):
    X, y, source = copies(sources=60, each=7, classes=classes)
    number = restarting(source, y) if restart else source
    k, part = np.zeros_like(y), np.random.default_rng(1).choice(["train/", "test/"], len(y))
    for s in range(60):
        k[source == s] = np.arange(7)
    names = tuple(
        f"{p if parts else ''}class{c}/orig{n}{VARIANTS[v]}.jpg" for p, c, n, v in zip(part, y, number, k, strict=True)
    )
    best, _ = find_filename_groups(names, y, X)
    assert best is not None and same_partition(best.groups, source) and best.evidence > 0.95
    assert best.joined == (("folder", "folders") if parts else ("folder",))
    assert best.apart == (("classes",) if restart and classes > 1 else ())


@pytest.mark.parametrize("form", ["{c}/aug_{i}_scene{s}.png", "{c}/rot{i}-scene {s}.png", "{c}/Copy {i} of {s}.png"])
def test_marks_may_stand_before_the_source(form):
    X, y, source = copies(sources=60, each=4)
    best, _ = find_filename_groups(named(form.replace("Copy {i}", "copy"), source, y), y, X)
    assert best is not None and same_partition(best.groups, source)


@pytest.mark.parametrize("form", ["{c}/{n:03d}.jpg", "{p}/{c}/{n:03d}.jpg", "{p}/{c}/{n}_a.jpg", "{c}_{n:03d}.jpg"])
def test_a_number_that_starts_again_in_every_folder_joins_nothing(form):
    X, y, _ = copies(sources=300, each=1)
    part = np.random.default_rng(1).choice(["train", "test"], len(y))
    number = restarting(np.arange(300), y * 2 + (part == "test"))
    names = tuple(form.format(p=p, c=f"class{c}", n=n) for p, c, n in zip(part, y, number, strict=True))
    best, rejected = find_filename_groups(names, y, X)
    assert best is None and all(one.evidence < 0.6 for one in rejected)


def test_a_patient_may_have_images_in_folders_of_several_classes():
    X, _, source = copies(sources=60, each=6, signal=0.0)
    y = np.arange(len(source)) % 3
    X += 3 * np.random.default_rng(2).normal(size=(3, X.shape[1])).astype(np.float32)[y]  # classes differ by more
    names = tuple(f"class{c}/patient_{s}_{i}.png" for i, (c, s) in enumerate(zip(y, source, strict=True)))
    best, _ = find_filename_groups(names, y, X)
    assert best is not None and same_partition(best.groups, source)
    assert best.joined == ("folder", "classes") and best.apart == () and best.exact


def test_two_rights_of_one_number_in_one_folder_need_the_class_and_no_pattern_gives_that():
    X, y, source = copies(sources=60, each=4)
    names = tuple(f"images/{n}_{i}.png" for i, n in enumerate(restarting(source, y)))
    best, _ = find_filename_groups(names, y, X)
    assert best is not None and same_partition(best.groups, source)
    assert best.apart == ("classes",) and not best.exact and best.suggestion == "auto"


def test_few_images_across_folders_join_them_where_they_are_as_alike_as_those_within():
    X, y, source = copies(sources=80, each=4)
    leaking = (source < 8) & (np.arange(len(source)) % 2 == 0)
    names = tuple(
        f"{'test' if leaks else 'train'}/class{c}/p{s}_{i}.png"
        for i, (leaks, c, s) in enumerate(zip(leaking, y, source, strict=True))
    )
    best, _ = find_filename_groups(names, y, X)
    assert best is not None and best.joined == ("folder", "folders") and same_partition(best.groups, source)


def test_what_a_folder_has_in_common_proves_nothing_about_numbers_in_it():
    rng = np.random.default_rng(0)
    folder = np.repeat(np.arange(20), 20)
    X = (3 * rng.normal(size=(20, 50))[folder] + rng.normal(size=(400, 50))).astype(np.float32)
    y = folder % 2
    names = tuple(f"camera{f}/{i // 4 % 5}_{i % 4}.jpg" for i, f in enumerate(folder))
    best, _ = find_filename_groups(names, y, X)
    assert best is not None and same_partition(best.groups, folder)  # the camera; not five numbers in each


@pytest.mark.parametrize(("originals", "alike"), [(6, 0.75), (60, 0.15)])
def test_words_that_mark_variants_need_less_than_other_parts(originals, alike):
    rng = np.random.default_rng(0)
    source = np.r_[np.arange(300), np.arange(originals)]
    X = rng.normal(size=(300, 40))[source]
    X[300:] = alike * X[300:] + rng.normal(size=(originals, 40))  # variants: few, or hardly known again
    y = source % 2
    names = [f"class{s % 2}/photo{s:03d}.jpg" for s in range(300)]
    turned = [f"class{s % 2}/photo{s:03d}_rot45.jpg" for s in range(originals)]
    marked, _ = find_filename_groups([*names, *turned], y, X)
    assert marked is not None and marked.marked and same_partition(marked.groups, source)
    plain, _ = find_filename_groups([*names, *(one.replace("rot45", "b") for one in turned)], y, X)
    assert plain is None


@pytest.mark.parametrize("form", ["beagle{b}_crop_{i}.jpg", "trip{b} ({i}).jpg"])
def test_kinds_and_numbered_series_are_no_variants_of_one_name(form):
    rng = np.random.default_rng(0)
    kind = np.arange(200) % 8
    X = (0.5 * rng.normal(size=(8, 60))[kind] + rng.normal(size=(200, 60))).astype(np.float32)
    names = [f"class{b % 2}/{form.format(b='abcdefgh'[b], i=i)}" for i, b in enumerate(kind)]
    assert find_filename_groups(names, kind % 2, X)[0] is None


def test_words_that_mark_variants_prove_nothing_where_looks_speak_against_them():
    rng = np.random.default_rng(0)
    names = [f"class{s % 2}/field{s // 4}_crop_{s}.jpg" for s in range(400)]
    best, rejected = find_filename_groups(names, np.arange(400) % 2, rng.normal(size=(400, 40)).astype(np.float32))
    assert best is None and rejected


name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.from_regex(
    r"(train/|test/)?[ab]/(img|été|图|aug_|)[0-9٣]{0,3}(_flip| \(2\)| - Copy|_[0-9])?\.(jpg|png)", fullmatch=True
)


@settings(max_examples=60, deadline=None)
@given(st.lists(name, min_size=1, max_size=60), st.integers(1, 3), st.integers(0, 99))
def test_any_names_are_read_and_a_pattern_gives_the_groups_it_stands_for(names, classes, seed):
    y = np.arange(len(names)) % classes
    X = np.random.default_rng(seed).normal(size=(len(names), 5)).astype(np.float32)
    best, rejected = find_filename_groups(names, y, X, seed=seed)
    for one in rejected + ([best] if best else []):
        assert one.groups.shape == (len(names),) and 0 <= one.at_least <= one.evidence <= 1
        assert not one.exact or same_partition(one.groups, group_by(names, one.pattern))
        again, _ = find_filename_groups(names, y, X, seed=seed)
        assert (again is None) == (best is None)
