import numpy as np
import pytest
import torch

from classifiers.leakage.pixels import registration
from classifiers.leakage.pixels.registration import AS_IT_IS, EVERY, places_under, refined, rough_alignments
from tests.support.copied_pictures import copy_of, scene, square


def structure(image, side=32):
    grey = torch.from_numpy(square(image, side).astype(np.float32))
    return (grey - grey.mean())[None]


@pytest.mark.parametrize("mirror", [False, True])
def test_a_shift_is_found_with_its_mirror(mirror):
    one = structure(scene(3))
    other = torch.roll(one.flip(2) if mirror else one, (3, -5), dims=(1, 2))
    scores, maps = rough_alignments(torch.cat([one, other]), np.array([[0, 1]]), AS_IT_IS, 1)
    assert scores[0, 0] > 0.99
    assert np.sign(np.linalg.det(maps[0, 0, :, :2])) == (-1 if mirror else 1)
    np.testing.assert_allclose(maps[0, 0, 1, 2], 3 * 2 / 32, atol=1e-5)
    np.testing.assert_allclose(maps[0, 0, 0, 2], -5 * 2 / 32, atol=1e-5)


@pytest.mark.parametrize("first", [False, True])
def test_a_crop_is_found_whichever_of_the_two_it_is(first):
    image = scene(5)
    part = image.crop((48, 18, 48 + 192, 18 + 144))  # 0.8 of both sides
    pictures = [part, image] if first else [image, part]
    scores, maps = rough_alignments(torch.cat([structure(p) for p in pictures]), np.array([[0, 1]]), EVERY, 1)
    assert scores[0, 0] > 0.8
    np.testing.assert_allclose(np.diag(maps[0, 0, :, :2]), 0.8 if first else 1.25, atol=0.05)


def test_large_structure_alone_rules_out_no_hypothesis_that_holds(monkeypatch):
    """Among copies, the best of the hypotheses that are compared in full is the best of all."""
    scenes = [scene(i) for i in range(8)]
    kinds = ["mirrored", "cropped", "turned", "turned by 90"]
    images = [*scenes, *(copy_of(image, kinds[i % 4], i) for i, image in enumerate(scenes))]
    pictures, pairs = torch.cat([structure(image) for image in images]), np.stack([np.arange(8), np.arange(8) + 8], 1)
    few, maps = rough_alignments(pictures, pairs, EVERY, 1)
    monkeypatch.setattr(registration, "_KEPT", len(EVERY))
    monkeypatch.setattr(registration, "_FITS", -2.0)
    every, all_maps = rough_alignments(pictures, pairs, EVERY, 1)
    np.testing.assert_array_equal(few, every)
    np.testing.assert_array_equal(maps, all_maps)
    assert (few > 0.5).mean() >= 0.8


def test_refinement_finds_an_affine_map():
    other = structure(scene(8), 64)
    true = torch.tensor([[[1.05, 0.06, 0.04], [-0.05, 0.97, -0.03]]])
    one = torch.nn.functional.grid_sample(other[:, None], places_under(true, 64), align_corners=False)[:, 0]
    start = torch.eye(2, 3)[None]
    found, fits = refined(one, other, start, torch.ones(1, 64, 64), 15)
    assert (found - true).abs().max() < 0.02 < (start - true).abs().max() and fits > 0.99


def test_a_picture_without_structure_stays_finite():
    blank = torch.zeros(1, 64, 64)
    maps, fits = refined(blank, blank, torch.eye(2, 3)[None], torch.ones(1, 64, 64), 5)
    assert maps.isfinite().all() and fits.isfinite().all()
    scores, maps = rough_alignments(torch.zeros(2, 32, 32), np.array([[0, 1]]), EVERY, 2)
    assert np.isfinite(scores).all() and np.isfinite(maps).all()
