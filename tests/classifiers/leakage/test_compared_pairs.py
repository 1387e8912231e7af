import dataclasses

import numpy as np
import pytest

from classifiers.leakage.candidate_pairs import find_candidate_pairs
from classifiers.leakage.compared_pairs import LONG, compare_pairs, time_ahead
from classifiers.leakage.pixels import prepared_pictures


def test_the_pixels_confirm_copies_and_say_how_they_differ(mirrored):
    near = find_candidate_pairs(mirrored.X)
    seen = compare_pairs(mirrored, near)
    assert sorted(map(tuple, near.pairs[seen.confirmed].tolist())) == [(i, 20 + i) for i in range(4)]
    assert (seen.copies == seen.confirmed).all() and seen.compared == len(near.pairs)
    assert {kind for kind, said in zip(seen.kinds, seen.confirmed, strict=True) if said} == {"mirrored"}
    assert {kind for kind, said in zip(seen.kinds, seen.confirmed, strict=True) if not said} == {""}


def test_features_speak_where_a_picture_cannot_be_read(mirrored):
    digests = mirrored.digests.copy()
    digests[20] = 1
    near = find_candidate_pairs(mirrored.X)
    near = dataclasses.replace(near, sure=np.ones(len(near.pairs), bool))
    seen = compare_pairs(dataclasses.replace(mirrored, digests=digests), near)
    unread = (near.pairs == 20).any(axis=1)
    assert seen.compared == (~unread).sum() and (seen.copies == seen.confirmed | unread).all()
    assert not (seen.confirmed & unread).any() and seen.unread == (("the file changed since it was listed", 1),)


def test_the_layers_of_every_picture_are_made_once(mirrored, monkeypatch):
    made, before = [], prepared_pictures._few_layers
    monkeypatch.setattr(prepared_pictures, "_few_layers", lambda grey: made.append(len(grey)) or before(grey))
    compare_pairs(mirrored, find_candidate_pairs(mirrored.X))
    assert sum(made) == 24


def test_no_candidate_is_no_work(mirrored):
    none = find_candidate_pairs(mirrored.X[:1])
    seen = compare_pairs(mirrored, none)
    assert seen.kinds == () and len(seen.copies) == seen.compared == seen.blank == seen.usual == 0


def test_the_time_is_told_once_and_grows_with_what_is_left(monkeypatch):
    now = iter([100.0, 103.0, 110.0])
    monkeypatch.setattr("classifiers.leakage.compared_pairs.time.perf_counter", lambda: next(now))
    said = []
    progress = time_ahead(said.append, "reading", LONG, trial=10)
    progress(9, 100)  # too few to tell
    progress(10, 100)
    progress(50, 100)
    assert said == ["reading takes about 27.0 s"]


@pytest.mark.parametrize("images", [0, LONG - 1])
def test_what_is_short_is_not_told(images):
    said = []
    time_ahead(said.append, "reading", images)(1, 2)
    assert said == []


def test_nobody_needs_to_listen():
    time_ahead(None, "reading", LONG)(1, 2)


def test_nothing_done_tells_nothing():
    said = []
    time_ahead(said.append, "reading", LONG)(0, 2)
    assert said == []
