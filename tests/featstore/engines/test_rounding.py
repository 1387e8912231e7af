import itertools

import pytest
import torch

from featstore.engines.rounding import round_filters

DTYPES = [torch.bfloat16, torch.float16]


def filters(count, n, seed=0):
    return torch.randn(count, n, generator=torch.Generator().manual_seed(seed))


def neighbours(value, dtype):
    """The numbers of `dtype` next to a number, below and above; one where it is exact. By search, not by bits."""
    near = torch.tensor(value, dtype=torch.float32).to(dtype)
    if near.float() == value:
        return {near.item()}
    toward = torch.tensor(torch.inf if near.float() < value else -torch.inf, dtype=dtype)
    return {near.item(), torch.nextafter(near, toward).item()}


def form(error, common, spread):
    error = error.double()
    return sum((error * c.double()).sum(1) ** 2 for c in common) + (error**2 * spread.double()).sum(1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_weight_becomes_one_of_its_neighbours(dtype):
    weight = torch.cat([filters(5, 9), torch.tensor([[0.0, 1.0, -1.0, 1e-30, -1e-30, 0.999, 1.001, 255.9, -3.14159]])])
    rounded = round_filters(weight, dtype, [torch.ones(1, 9)], torch.full((1, 9), 1e-3))
    for given, found in zip(weight.flatten().tolist(), rounded.flatten().tolist(), strict=True):
        assert found in neighbours(given, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nearly_as_good_as_trying_everything(dtype):
    weight, mean = filters(6, 9), filters(6, 9, 1).abs()
    spread = torch.full_like(weight, 0.05)
    rounded = round_filters(weight, dtype, [mean], spread)
    found = form(rounded - weight, [mean], spread)
    nearest = form(weight.to(dtype).float() - weight, [mean], spread)
    for row in range(len(weight)):
        choices = [sorted(neighbours(value, dtype)) for value in weight[row].tolist()]
        every = torch.tensor(list(itertools.product(*choices)))
        best = form(every - weight[row], [mean[row : row + 1]], spread[row : row + 1]).min()
        assert best <= found[row] + 1e-15 and found[row] <= nearest[row]
        assert found[row] - best <= 0.25 * (nearest[row] - best) + 1e-12


def test_the_sum_over_usual_inputs_is_kept_far_better_than_by_the_nearest():
    weight, mean = filters(64, 300), filters(1, 300, 1).abs()
    rounded = round_filters(weight, torch.bfloat16, [mean], torch.full((1, 300), 1e-3))
    off = ((rounded - weight) * mean).sum(1).abs()
    nearest = ((weight.bfloat16().float() - weight) * mean).sum(1).abs()
    assert off.mean() < 0.05 * nearest.mean()


def test_without_common_directions_the_nearest_is_best():
    weight = filters(8, 20)
    rounded = round_filters(weight, torch.bfloat16, [], torch.ones(1, 20))
    assert torch.equal(rounded, weight.bfloat16().float())


def test_exact_weights_stay():
    weight = filters(4, 12).bfloat16().float()
    assert torch.equal(round_filters(weight, torch.bfloat16, [torch.ones(1, 12)], torch.zeros(1, 12)), weight)
