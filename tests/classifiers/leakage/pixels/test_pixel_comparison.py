import io

import numpy as np
import pytest
from PIL import Image

from classifiers.leakage.pixels.pixel_comparison import DIFFERENT, SAME, UNTOLD, compare_pixels
from classifiers.leakage.pixels.prepared_pictures import PreparedPictures
from tests.support.copied_pictures import KINDS, copy_of, jpeg, scene, square, texture

NUMBER = 12


def compared(ones, others):
    grey = np.stack([square(image) for image in (*ones, *others)])
    n = len(ones)
    return compare_pixels(PreparedPictures(grey), np.stack([np.arange(n), np.arange(n) + n], axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_one_picture(kind):
    scenes = [scene(i) for i in range(NUMBER)]
    seen = compared(scenes, [copy_of(image, kind, i) for i, image in enumerate(scenes)])
    assert (seen.verdict == SAME).mean() >= 0.9
    word = {"mirrored": "mirrored", "cropped": "cropped", "turned": "turned", "turned by 90": "turned"}.get(kind, "")
    assert {k for k, said in zip(seen.kinds, seen.verdict, strict=True) if said == SAME} == {word}


def test_a_copy_of_low_quality_is_one_picture():
    scenes = [scene(i) for i in range(NUMBER)]
    seen = compared(scenes, [Image.open(io.BytesIO(jpeg(image, 50))) for image in scenes])
    assert (seen.verdict == SAME).all() and seen.agreement.min() > 0.95


def test_different_scenes_are_two_pictures():
    seen = compared([scene(i) for i in range(60)], [scene(100 + i) for i in range(60)])
    assert (seen.verdict == DIFFERENT).all() and set(seen.kinds) == {""}


@pytest.mark.parametrize("grain", [1.5, 3.0, 6.0])
def test_patches_of_one_material_are_two_pictures(grain):
    ones, others = ([texture(base + i, grain=grain) for i in range(40)] for base in (0, 100))
    assert (compared(ones, others).verdict == DIFFERENT).all()


def test_frames_with_another_foreground_are_two_pictures():
    ones, others = [], []
    for i in range(20):
        ground, actor = scene(i), scene(500 + i, size=(90, 90), shapes=6)
        one, other = ground.copy(), ground.copy()
        one.paste(actor, (20, 40))
        other.paste(actor, (120, 60))
        ones.append(one)
        others.append(other)
    assert (compared(ones, others).verdict == DIFFERENT).mean() >= 0.95


def test_of_blank_pictures_nothing_can_be_told():
    blank = Image.new("RGB", (80, 60), (200, 200, 200))
    seen = compared([blank, blank, scene(1)], [blank, scene(2), blank])
    assert (seen.verdict == UNTOLD).all()


def test_blocks_do_not_matter(monkeypatch):
    scenes = [scene(i) for i in range(9)]
    grey = np.stack([square(image) for image in (*scenes, *(copy_of(s, "mirrored") for s in scenes))])
    pairs = np.array([(a, b) for a in range(18) for b in range(a + 1, 18)])
    whole = compare_pixels(PreparedPictures(grey), pairs)
    monkeypatch.setattr("classifiers.leakage.pixels.pixel_comparison._BLOCK", 7)
    parts = compare_pixels(PreparedPictures(grey), pairs)
    assert (whole.verdict == parts.verdict).all() and (whole.verdict == SAME).sum() == 9
    np.testing.assert_allclose(whole.agreement, parts.agreement, atol=1e-3)


def test_without_a_thorough_look_only_what_is_as_it_was_is_found():
    scenes = [scene(i) for i in range(6)]
    grey = np.stack([square(image) for image in (*scenes, *(copy_of(s, "turned by 90") for s in scenes))])
    pairs = np.stack([np.arange(6), np.arange(6) + 6], axis=1)
    assert (compare_pixels(PreparedPictures(grey), pairs, np.zeros(6, bool)).verdict == DIFFERENT).all()
    assert (compare_pixels(PreparedPictures(grey), pairs).verdict == SAME).all()


def test_no_pair_is_no_work():
    seen = compare_pixels(PreparedPictures(np.zeros((0, 64, 64), np.uint8)), np.empty((0, 2), np.int64))
    assert len(seen.verdict) == 0 and seen.kinds == ()
