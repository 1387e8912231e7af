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
