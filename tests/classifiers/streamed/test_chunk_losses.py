import numpy as np
import pytest
import torch

from classifiers.streamed.chunk_losses import hinge_chunk, logistic_chunk, softmax_chunk


def drawn(k, m, seed=0):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(3 * rng.standard_normal((k, m)))
    return (
        logits,
        torch.from_numpy(rng.integers(0, max(k, 2), m)),
        torch.from_numpy(rng.integers(0, 3, m).astype(float)),
    )


def derivative(value, logits):
    free = logits.clone().requires_grad_()
    value(free).sum().backward()
    return free.grad


def test_softmax_is_that_of_torch():
    logits, target, mass = drawn(5, 60)
    present = torch.zeros(5, dtype=torch.bool)

    def value(z):
        return mass * torch.nn.functional.cross_entropy(z.T, target, reduction="none")

    found = softmax_chunk(logits.clone(), target, mass, present)
    assert float(found.value) == pytest.approx(float(value(logits).sum()))
    assert torch.allclose(found.residual, derivative(value, logits))
    p = torch.softmax(logits, dim=0)
    assert torch.allclose(found.curvature, torch.diag((p * mass).sum(1)) - (p * mass) @ p.T)
    assert torch.equal(found.right, logits.argmax(0) == target)
    assert torch.allclose(found.row_loss * mass, value(logits))


def test_softmax_gives_absent_classes_nothing():
    logits, target, mass = drawn(4, 30)
    absent = torch.tensor([False, False, True, False])
    mass[target == 2] = 0.0
    found = softmax_chunk(logits.clone(), target, mass, absent)
    assert not found.right[target == 2].any()
    assert torch.isfinite(found.residual).all() and (found.residual[2] == 0).all()
    assert torch.isfinite(found.value).all() and torch.isfinite(found.curvature).all()
    kept = target != 2
    rest = torch.where(target > 2, target - 1, target)[kept]
    loss = torch.nn.functional.cross_entropy(logits[[0, 1, 3]][:, kept].T, rest, reduction="none")
    assert float(found.value) == pytest.approx(float((loss * mass[kept]).sum()))


def test_certain_rows_keep_their_digits_in_float32():
    logits = torch.tensor([[40.0], [0.0], [1.0]])
    found = softmax_chunk(logits, torch.tensor([0]), torch.ones(1), torch.zeros(3, dtype=torch.bool))
    assert float(found.value) == pytest.approx(np.exp(-40.0) + np.exp(-39.0), rel=1e-4)


def test_logistic_is_that_of_torch():
    logits, target, mass = drawn(1, 60)
    target = target % 2

    def value(z):
        return mass * torch.nn.functional.binary_cross_entropy_with_logits(z[0], target.double(), reduction="none")

    found = logistic_chunk(logits, target, mass, 0.0)
    assert float(found.value) == pytest.approx(float(value(logits).sum()))
    assert torch.allclose(found.residual, derivative(value, logits))


@pytest.mark.parametrize("k", [1, 4])
def test_hinge_is_that_of_torch(k):
    logits, target, mass = drawn(k, 60)
    own = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64) if k > 1 else None
    positive = target[None] == (torch.arange(k)[:, None] if k > 1 else 1)
    weight = mass * torch.where(positive, own[:, None], 1.0) if k > 1 else mass

    def value(z):
        return weight * (1 - torch.where(positive, 1.0, -1.0) * z).clamp_min(0) ** 2

    found = hinge_chunk(logits, target, mass, own, 0.0)
    assert torch.allclose(found.value, value(logits).sum(dim=1))
    assert torch.allclose(found.residual, derivative(value, logits))
    assert torch.equal(found.right, (logits.argmax(0) if k > 1 else (logits[0] > 0).long()) == target)


def test_where_classes_share_the_largest_value_the_first_of_them_wins_as_by_argmax():
    target, mass = torch.tensor([0, 1, 2]), torch.ones(3)
    expected = [True, False, False]
    absent = torch.zeros(3, dtype=torch.bool)
    assert softmax_chunk(torch.zeros(3, 3), target, mass, absent).right.tolist() == expected
    assert hinge_chunk(torch.zeros(3, 3), target, mass, None, 0.0).right.tolist() == expected
