"""One optimiser step; the reference is a plain torch loop."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.learner import Learner
from classifiers.training.optim import put, warmup_cosine
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.unfreezing import UnfrozenNetwork
from featstore.backbone import Backbone

SETTINGS = FineTuneSettings(
    reopen="features.9", epochs=2, batch_size=6, learning_rate=1e-3, lowest_rate=0.5, head_rate=2e-3, ema=0.0,
    warmup=0.05, augmentation=None,
)  # fmt: skip


class Values:
    """A loader of fixed values."""

    def __init__(self, values):
        self.values = values

    def training(self, rows, epoch):
        return self.values[torch.from_numpy(rows)]

    def validation(self, rows):
        return self.training(rows, 0)


def reopened():
    torch.manual_seed(0)
    backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    # Batch norms that do not know their input let nothing through, and then every loss is the same.
    for module in backbone.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    backbone.network.train()
    with torch.no_grad():
        backbone.trunk((torch.rand(64, 3, 32, 32) - 0.45) / 0.225)
    backbone.network.eval()
    return UnfrozenNetwork(ImageClassifier(backbone, nn.Linear(576, 3), ("a", "b", "c")), SETTINGS.reopen)


def prepared(settings=SETTINGS):
    unfrozen = reopened()
    torch.manual_seed(1)
    values = Values(unfrozen.lower(torch.rand(12, 3, 32, 32)).clone())
    y = np.arange(12) % 3
    return Learner(unfrozen, values, y, settings, torch.device("cpu")), unfrozen, values.values, torch.from_numpy(y)


def test_steps_are_those_of_a_plain_loop():
    learner, unfrozen, _, _ = prepared()
    other = reopened()
    _, _, values, y = prepared()
    names = [name for block in other.blocks for name in block]
    top = dict(other.top.named_parameters())
    depth = len(other.blocks)
    groups = []
    for i, block in enumerate(other.blocks):
        rate = 1e-3 * 0.5 ** ((depth - 1 - i) / max(1, depth - 1))
        for name in block:
            groups.append({"params": [top[name]], "peak": rate, "weight_decay": 0.05 * (top[name].dim() > 1)})
    for parameter in other.head.parameters():
        groups.append({"params": [parameter], "peak": 2e-3, "weight_decay": 0.05 * (parameter.dim() > 1)})
    optimizer = torch.optim.AdamW([{**group, "lr": group["peak"]} for group in groups])
    assert len(names) + 2 == len(groups)
    for step in range(4):
        rows = np.arange(6) + 6 * (step % 2)
        loss, right = learner.step(rows, step // 2, step)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * warmup_cosine(learner.steps, SETTINGS.warmup)(step)
        logits = other(values[rows])
        expected = F.cross_entropy(logits, y[rows], label_smoothing=0.1)
        optimizer.zero_grad()
        expected.backward()
        nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
        assert abs(loss - float(expected.detach())) < 1e-5
        assert right == int((logits.argmax(1) == y[rows]).sum())
    for a, b in zip(unfrozen.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_average_is_judged():
    learner, unfrozen, values, y = prepared(dataclasses.replace(SETTINGS, ema=0.5))
    for step in range(2):
        learner.step(np.arange(6), 0, step)
    right, log_loss = learner.judge(y.numpy())
    put(learner.live, learner.average)
    with torch.no_grad():
        logits = unfrozen.eval()(values)
    np.testing.assert_array_equal(right, (logits.argmax(1) == y).numpy())
    assert abs(log_loss - float(F.cross_entropy(logits.double(), y))) < 1e-5


def test_going_back_to_saved_tensors_repeats_the_same_steps():
    learner, unfrozen, _, _ = prepared()
    learner.step(np.arange(6), 0, 0)
    saved = {name: tensor.detach().clone() for name, tensor in learner.tensors().items()}
    learner.step(np.arange(6, 12), 0, 1)
    after = [p.detach().clone() for p in unfrozen.parameters()]
    fresh, unfrozen, _, _ = prepared()
    fresh.restore(saved, 1)
    fresh.step(np.arange(6, 12), 0, 1)
    assert all(torch.equal(a, b) for a, b in zip(after, unfrozen.parameters(), strict=True))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_step_in_half_precision_is_that_of_full_precision_but_for_rounding(precision):
    """From the same weights: the loss, the gradient that is applied, and what the weights are kept in."""
    learner, unfrozen, _, _ = prepared()
    half, rounded, _, _ = prepared(dataclasses.replace(SETTINGS, precision=precision))
    gradients, losses = [], []
    for one, network in ((learner, unfrozen), (half, rounded)):
        kept = []
        one._optimizer.register_step_pre_hook(
            lambda *_, network=network, kept=kept: kept.extend(
                p.grad.clone() for p in network.parameters() if p.grad is not None
            )
        )
        before = [p.detach().clone() for p in network.parameters()]
        for _ in range(20):  # float16 overflows until its loss scale is small enough; such a step changes nothing
            loss, _right = one.step(np.arange(6), 0, 0)
            if kept:
                break
            assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
        losses.append(loss)
        gradients.append(torch.cat([gradient.flatten() for gradient in kept]))
    exact, near = gradients
    assert losses[1] == pytest.approx(losses[0], rel=0.05) and losses[1] != losses[0]
    assert F.cosine_similarity(exact, near, dim=0) > 0.98
    assert float(near.norm()) == pytest.approx(float(exact.norm()), rel=0.1)
    assert all(p.dtype == torch.float32 for p in rounded.parameters())
