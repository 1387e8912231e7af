"""How fast each part learns."""

import math

import pytest
import torch
from torch import nn

from classifiers.training.schedule import Schedule, layer_rates, parameter_groups


def test_the_rate_rises_and_falls_as_a_cosine():
    schedule = Schedule(100, warmup=0.1)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert 0 < factors[99] < 0.001
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))


def test_a_single_step_is_taken_at_the_full_rate():
    assert Schedule(1).factor(0) == 1.0


def test_layer_rates_span_the_same_ratio_whatever_the_depth():
    for count in (2, 10, 53):
        rates = layer_rates(count, 0.05)
        assert len(rates) == count
        assert rates[0] == pytest.approx(0.05) and rates[-1] == 1.0
        ratios = [b / a for a, b in zip(rates, rates[1:], strict=False)]
        assert ratios == pytest.approx([ratios[0]] * (count - 1))
    assert layer_rates(1, 0.05) == [1.0]
    assert layer_rates(0, 0.05) == []


def test_every_parameter_is_in_one_group_with_its_rate_and_only_matrices_decay():
    top = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3))
    parts = nn.ModuleDict({"top": top, "head": nn.Linear(5, 2)})
    groups = parameter_groups(
        parts,
        [["0.weight", "0.bias", "1.weight", "1.bias"], ["2.weight", "2.bias"]],
        learning_rate=1e-3,
        lowest=0.1,
        head_rate=5e-3,
        weight_decay=0.05,
    )
    found = {id(p): group for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(list(parts.parameters()))
    expected = {top[0]: 1e-4, top[1]: 1e-4, top[2]: 1e-3, parts["head"]: 5e-3}
    for module, rate in expected.items():
        for parameter in module.parameters():
            assert found[id(parameter)]["lr"] == pytest.approx(rate)
            assert found[id(parameter)]["weight_decay"] == (0.05 if parameter.dim() > 1 else 0)
    torch.optim.AdamW(groups)
