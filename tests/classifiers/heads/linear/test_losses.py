import numpy as np
import pytest
import torch

from classifiers.heads.linear.losses import LogisticLoss, SoftmaxLoss, SquaredHingeLoss


def make(kind, groups=2, n=7, k=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    mass = torch.rand(groups, n, generator=generator, dtype=dtype)
    mass[:, 0] = 0.0
    fold = torch.arange(groups)
    if kind is SoftmaxLoss:
        target = torch.tensor([0, 1, 2, 3, 0, 1, 2])
        return SoftmaxLoss(mass, target, k, fold), torch.randn(groups, k, n, generator=generator, dtype=dtype)
    sign = torch.where(torch.rand(groups, n, generator=generator) > 0.5, 1.0, -1.0).to(dtype)
    return kind(mass, sign, fold), torch.randn(groups, 1, n, generator=generator, dtype=dtype)


def plain(kind, loss, logits):
    if kind is SoftmaxLoss:
        each = torch.logsumexp(logits, dim=1) - logits.gather(1, loss.reference)[:, 0]
    elif kind is LogisticLoss:
        each = torch.log1p(torch.exp(-loss.sign * logits[:, 0]))
    else:
        each = (1 - loss.sign * logits[:, 0]).clamp_min(0) ** 2
    return (each * loss.mass).sum(dim=-1)


KINDS = [SoftmaxLoss, LogisticLoss, SquaredHingeLoss]


@pytest.mark.parametrize("kind", KINDS)
def test_value_gradient_and_curvature_are_those_of_the_formula(kind):
    loss, logits = make(kind)
    value, state = loss.value(loss.relative(logits.clone()))
    torch.testing.assert_close(value, plain(kind, loss, logits))
    variable = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plain(kind, loss, variable).sum(), variable, create_graph=True)
    torch.testing.assert_close(loss.residual(state), gradient.detach())
    direction = torch.randn_like(logits)
    (curved,) = torch.autograd.grad((gradient * direction).sum(), variable)
    torch.testing.assert_close(loss.curve(state, loss.relative(direction.clone())), curved)


@pytest.mark.parametrize("kind", KINDS)
def test_stiffness_is_the_summed_diagonal_of_the_curvature(kind):
    loss, logits = make(kind)
    _, state = loss.value(loss.relative(logits.clone()))
    for row in range(loss.rows):
        unit = torch.zeros_like(logits)
        unit[:, row] = 1.0
        along = loss.curve(state, loss.relative(unit))[:, row].sum(dim=-1)
        torch.testing.assert_close(loss.stiffness(state)[:, row], along)


@pytest.mark.parametrize("kind", KINDS)
def test_taking_groups_is_the_same_as_slicing_the_result(kind):
    loss, logits = make(kind, groups=3)
    index = torch.tensor([2, 0])
    value, _ = loss.value(loss.relative(logits.clone()))
    part, _ = loss.take(index).value(loss.take(index).relative(logits[index].clone()))
    torch.testing.assert_close(part, value[index])
    assert loss.take(index).fold.tolist() == [2, 0]
    assert loss.to(torch.float32).mass.dtype == torch.float32


def test_float32_keeps_the_digits_of_a_nearly_separated_sample():
    logits = torch.tensor([[[0.0], [30.0], [1.0]]])
    loss = SoftmaxLoss(torch.ones(1, 1), torch.tensor([1]), 3, torch.arange(1))
    value, state = loss.value(loss.relative(logits))
    exact = np.log1p(np.exp(-30.0) + np.exp(-29.0))
    assert float(value) == pytest.approx(exact, rel=1e-5)
    assert float(loss.residual(state)[0, 1, 0]) == pytest.approx(-(np.exp(-30.0) + np.exp(-29.0)), rel=1e-5)


def test_absent_classes_have_probability_zero_and_no_gradient():
    target = torch.tensor([0, 1, 2])
    loss = SoftmaxLoss(torch.tensor([[1.0, 1.0, 0.0]]), target, 3, torch.arange(1))
    relative = loss.relative(torch.tensor([[[0.0, 0.0, 5.0], [0.0, 0.0, 1.0], [90.0, 90.0, 90.0]]]))
    value, state = loss.value(relative)
    assert float(value) == pytest.approx(2 * np.log(2))
    assert torch.all(loss.residual(state)[0, 2] == 0)
    assert torch.isinf(loss.logits(relative)[0, 2]).all()
