import contextlib
import re
import time

import numpy as np
import pytest

from classifiers.leakage.filename_groups import PATTERNS, find_filename_groups
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
            group_by(names, pattern)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("name", ["photo_aug3.png", "photo - copy.png", "photo_flip_rot.png", "photo copy (2).png"])
def test_copies_share_the_stem_before_the_first_word_that_tells(name):
    assert re.search(PATTERNS[1], name)[1] == "photo"


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
