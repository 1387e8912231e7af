"""How fast each part learns, the loss, and the moving average of the weights."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.optim import (
    class_weights,
    cross_entropy,
    float_tensors,
    layer_rates,
    moving_average,
    parameter_groups,
    total_weight,
    unhurried_warmup,
    warmup_cosine,
)
from classifiers.training.unfreezing import UnfrozenNetwork
from featstore.backbone import Backbone


def test_the_rate_rises_and_falls_as_a_cosine():
    factors = [warmup_cosine(100, warmup=0.1)(step) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert 0 < factors[99] < 0.001
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))


def test_behind_the_warm_up_it_is_torchs_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine, factor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=90), warmup_cosine(100, warmup=0.1)
    for step in range(10, 100):
        assert factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        cosine.step()


def test_a_single_step_is_taken_at_the_full_rate():
    assert warmup_cosine(1, 0.05)(0) == 1.0


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


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_class_weights_the_loss_is_torchs_mean(smoothing):
    torch.manual_seed(0)
    logits, y, weights = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 3, 1, 0]), torch.ones(4)
    wanted = F.one_hot(y, 4).float()
    loss = cross_entropy(logits, wanted, weights, smoothing) / total_weight(wanted, weights, smoothing)
    torch.testing.assert_close(loss, F.cross_entropy(logits, y, label_smoothing=smoothing))


def test_with_class_weights_it_is_torchs_weighted_mean_over_class_indices():
    torch.manual_seed(0)
    logits, y, weights = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0.5, 1.0, 2.0])
    wanted = F.one_hot(y, 3).float()
    loss = cross_entropy(logits, wanted, weights, 0.0) / total_weight(wanted, weights, 0.0)
    torch.testing.assert_close(loss, F.cross_entropy(logits, y, weight=weights))


def test_mixed_smoothed_weighted_targets_are_averaged_by_their_weight():
    generator = np.random.default_rng(0)
    logits, weights = generator.normal(size=(8, 3)), generator.random(3) + 0.1
    targets = generator.dirichlet(np.ones(3), size=8)
    smooth = 0.9 * targets + 0.1 / 3
    terms = -smooth * weights * (logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    logits, targets, weights = (torch.from_numpy(a) for a in (logits, targets, weights))
    loss = cross_entropy(logits, targets, weights, 0.1) / total_weight(targets, weights, 0.1)
    assert float(loss) == pytest.approx(terms.sum() / (smooth * weights.numpy()).sum())


def test_a_batch_in_parts_has_the_same_loss():
    torch.manual_seed(0)
    logits, wanted, weights = torch.randn(8, 3), torch.rand(8, 3), torch.rand(3)
    whole = cross_entropy(logits, wanted, weights, 0.1)
    parts = sum(cross_entropy(logits[i : i + 3], wanted[i : i + 3], weights, 0.1) for i in range(0, 8, 3))
    torch.testing.assert_close(whole, parts)


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(class_weights(y, 3, "balanced").numpy(), expected, rtol=1e-6)
    assert class_weights(y, 3, None).tolist() == [1, 1, 1]


def test_the_average_follows_the_formula_and_counts_buffers_too():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = moving_average(module, 0.9)
    expected = {name: tensor.detach().clone().numpy() for name, tensor in float_tensors(module).items()}
    assert "1.running_mean" in expected and "1.num_batches_tracked" not in expected
    for step in range(30):
        with torch.no_grad():
            for tensor in float_tensors(module).values():
                tensor.add_(torch.randn_like(tensor))
        average.update_parameters(module)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in float_tensors(module).items():
            expected[name] = expected[name] * decay + tensor.detach().numpy() * (1 - decay)
    for name, value in expected.items():
        np.testing.assert_allclose(float_tensors(average.module)[name].numpy(), value, rtol=1e-4, atol=1e-5)


def test_the_average_is_frozen_and_judges_in_eval_mode_whatever_the_module_does():
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    average = moving_average(module, 0.5)
    module.train()
    assert not any(p.requires_grad for p in average.parameters()) and all(p.requires_grad for p in module.parameters())
    assert not any(part.training for part in average.modules())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_the_average_of_a_reopened_network_has_its_tensors_in_the_same_order(name):
    """Torch pairs them by their place, not by their name."""
    backbone = Backbone(name, "none", input_size=32)
    parts = UnfrozenNetwork(ImageClassifier(backbone, nn.Linear(8, 2), ("a", "b")), "all").open_parts()
    average = moving_average(parts, 0.9).module
    for own, averaged in (
        (parts.named_parameters(), average.named_parameters()),
        (parts.named_buffers(), average.named_buffers()),
    ):
        assert [(n, t.shape) for n, t in own] == [(n, t.shape) for n, t in averaged]


def test_a_short_run_gives_three_of_ten_steps_to_the_rise_and_a_long_one_2000_steps():
    assert [unhurried_warmup(steps) for steps in (0, 1, 100, 10_000, 100_000)] == [0.3, 0.3, 0.3, 0.2, 0.02]
