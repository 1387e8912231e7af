"""Augmentation: seeded, within its bounds, and nothing but what was asked for."""

import numpy as np
import pytest
import torch

from classifiers.training.augment import Augmentation, mix, source_transform
from featstore.decoding.pixels.transform import TransformSpec

STILL = Augmentation(smallest=1.0, stretch=1.0, flip=False, colour=0.0)


def picture(side=40):
    ramp = torch.arange(side, dtype=torch.float32) / (side - 1) * 255
    image = torch.stack([ramp.expand(side, side), ramp.expand(side, side).T, torch.full((side, side), 128.0)])
    return image.to(torch.uint8)[None]


def numbers(count=1, **fixed):
    table = torch.full((count, 10), 0.75)
    for column, value in fixed.items():
        table[:, int(column[1:])] = value
    return table


def test_without_variation_the_whole_source_comes_out():
    image = picture(40)
    out = STILL.apply(image, numbers(), 40)
    np.testing.assert_allclose(out.numpy() * 255, image.numpy(), atol=1e-3)


def test_a_flip_is_a_mirror_image():
    out = Augmentation(smallest=1, stretch=1, flip=True, colour=0).apply(picture(), numbers(n4=0.1), 40)
    np.testing.assert_allclose(out[0].numpy() * 255, picture()[0].flip(2).numpy(), atol=1e-3)


def test_turns_reach_all_eight_orientations_and_nothing_else():
    turn = Augmentation(smallest=1, stretch=1, flip=True, turn=True, colour=0)
    orientations = {}
    for i in range(8):
        n4, n5, n6 = (0.1 if i >> bit & 1 else 0.9 for bit in range(3))
        out = turn.apply(picture(), numbers(n4=n4, n5=n5, n6=n6), 40)[0].numpy() * 255
        source = picture()[0].numpy()
        for k in range(8):
            turned = np.rot90(source if k < 4 else source[:, :, ::-1], k % 4, axes=(1, 2))
            if np.abs(out - turned).max() < 1e-2:
                orientations[k] = True
    assert len(orientations) == 8


def test_crops_stay_inside_and_keep_at_least_the_smallest_area():
    crop = Augmentation(smallest=0.25, stretch=4 / 3, flip=False, colour=0)
    table = torch.from_numpy(crop.draw(500, seed=1, epoch=0))
    grid = crop._grid(table, 16)
    assert grid.abs().max() <= 1.0
    width = grid[:, 0, -1, 0] - grid[:, 0, 0, 0]
    height = grid[:, -1, 0, 1] - grid[:, 0, 0, 1]
    area = (width * height / (2 * 15 / 16) ** 2).numpy()  # sampling points are pixel centres
    assert area.min() >= 0.25 * 0.7 and area.max() <= 1.0 + 1e-5
    assert np.ptp(area) > 0.5


def test_the_numbers_depend_on_seed_epoch_and_row_alone():
    augmentation = Augmentation()
    a = augmentation.draw(10, seed=3, epoch=2)
    np.testing.assert_array_equal(a, augmentation.draw(10, seed=3, epoch=2))
    assert not np.array_equal(a, augmentation.draw(10, seed=3, epoch=1))
    assert not np.array_equal(a, augmentation.draw(10, seed=4, epoch=2))
    assert a.min() >= 0 and a.max() < 1


def test_the_numbers_of_a_kept_view_depend_on_the_image_not_on_its_row():
    digests = np.random.default_rng(0).integers(0, 256, (4, 32), dtype=np.uint8)
    numbers = Augmentation().draw_for(digests, seed=0, view=1)
    assert numbers.shape == (4, 10) and numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_array_equal(Augmentation().draw_for(digests[[2, 0]], 0, 1), numbers[[2, 0]])
    assert len(np.unique(numbers)) == 40
    assert not np.isin(Augmentation().draw_for(digests, 0, 2), numbers).any()


def test_an_image_is_varied_the_same_in_any_batch():
    augmentation = Augmentation(turn=True)
    images = torch.cat([picture(), picture().flip(2), picture().flip(3)])
    table = torch.from_numpy(augmentation.draw(3, 0, 0))
    together = augmentation.apply(images, table, 24)
    for i in range(3):
        torch.testing.assert_close(augmentation.apply(images[i : i + 1], table[i : i + 1], 24)[0], together[i])


def test_colours_stay_in_range_and_change_only_when_asked():
    augmentation = Augmentation(smallest=1, stretch=1, flip=False, colour=0.9)
    out = augmentation.apply(picture(), torch.from_numpy(augmentation.draw(1, 0, 0)), 40)
    assert out.min() >= 0 and out.max() <= 1
    assert (out - picture() / 255).abs().max() > 0.05


def test_sources_hold_all_that_the_transform_can_see_and_more_detail():
    spec = TransformSpec(146, 128, "bicubic")
    source = source_transform(spec)
    assert source.resize == source.crop == 183
    assert source.interpolation == "bicubic"


@pytest.mark.parametrize("wrong", [{"smallest": 0}, {"smallest": 1.5}, {"stretch": 0.5}, {"colour": 1}, {"mixup": -1}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="out of range"):
        Augmentation(**wrong)


def test_mixing_keeps_values_and_targets_together():
    torch.manual_seed(0)
    values, targets = torch.randn(6, 3), torch.eye(6)
    mixed, wanted = mix(values, targets, 0.4, seed=1, step=5)
    torch.testing.assert_close(wanted @ values, mixed)  # targets are the mixing weights of an identity
    torch.testing.assert_close(wanted.sum(1), torch.ones(6))
    again = mix(values, targets, 0.4, seed=1, step=5)
    assert torch.equal(again[0], mixed)
    assert not torch.equal(mix(values, targets, 0.4, seed=1, step=6)[0], mixed)
    assert mix(values, targets, 0.0, seed=1, step=5)[0] is values
