import numpy as np
import pytest
import torch

from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.linear_pass import Asked, LinearPass
from classifiers.streamed.training import StreamedTraining


def problem(loss, k, n=150, d=6, factors=None):
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    X = (4 + 2 * rng.standard_normal((n, d)) + rng.standard_normal((k, d))[y]).astype(np.float32)
    training = StreamedTraining.of(ArrayRows(X), y, 3)
    factors = np.ones((4, k)) if factors is None else factors
    made = LinearPass(
        training.rows, training.codes, k, training.masks, training.held, training.sums, factors, loss_name=loss
    )
    return made, training, X, y


def whole_loss(loss, Z, y, k):
    """(n, outputs) logits -> (n, blocks) losses, in torch."""
    target = torch.from_numpy(y)
    if loss == "softmax" and k > 2:
        return torch.nn.functional.cross_entropy(Z, target, reduction="none")[:, None]
    sign = torch.where(target[:, None] == (torch.arange(k) if k > 2 else 1), 1.0, -1.0)
    return torch.nn.functional.softplus(-sign * Z) if loss == "softmax" else (1 - sign * Z).clamp_min(0) ** 2


@pytest.mark.parametrize(("loss", "k"), [("softmax", 4), ("softmax", 2), ("svm", 4), ("svm", 2)])
def test_a_pass_finds_the_losses_and_gradients_of_every_fold(loss, k):
    made, training, X, y = problem(loss, k)
    rng = np.random.default_rng(1)
    for fold in range(4):
        train = training.masks[fold]
        seen_X = (X - X[train].mean(axis=0, dtype=np.float64)) / X[train].std(axis=0, dtype=np.float64)
        weight = torch.from_numpy(0.3 * rng.standard_normal(made.shape)).requires_grad_()
        flat = weight.reshape(made.outputs, -1)
        Z = torch.from_numpy(seen_X) @ flat[:, :-1].T + flat[:, -1]
        losses = whole_loss(loss, Z, y, k)[torch.from_numpy(train)].sum(dim=0)
        losses.sum().backward()
        (found,) = made.look([Asked(fold, weight.detach())], dtype=torch.float64)
        assert torch.allclose(found.loss, losses, rtol=1e-5)
        assert torch.allclose(found.slope, weight.grad, rtol=1e-4, atol=1e-4)
        winner = Z.detach().argmax(dim=1).numpy() if k > 2 else (Z[:, 0] > 0).numpy()
        assert np.array_equal(found.right, (winner == y) & training.held[fold])
        decision = made.decisions(Asked(fold, weight.detach()), X)
        assert decision == pytest.approx(Z.detach().numpy(), abs=1e-4)
        coef, intercept = made.coefficients(Asked(fold, weight.detach()))
        assert X.astype(np.float64) @ coef.T + intercept == pytest.approx(decision, abs=1e-4)
    assert made.passes == 4


def test_many_weights_cost_one_pass():
    made, *_ = problem("softmax", 4)
    asked = [Asked(fold, torch.full(made.shape, 0.01 * fold)) for fold in (0, 1, 2, 3)]
    together = made.look(asked)
    assert made.passes == 1
    for one, seen in zip(asked, together, strict=True):
        (alone,) = made.look([one])
        assert torch.equal(alone.slope, seen.slope) and alone.log_loss == seen.log_loss


def test_factors_weigh_the_rows_of_their_class():
    factors = np.tile([1.0, 3.0, 1.0], (4, 1))
    heavy, training, X, y = problem("softmax", 3, factors=factors)
    plain, *_ = problem("softmax", 3)
    at = Asked(3, torch.zeros(plain.shape))
    (more,), (less,) = heavy.look([at]), plain.look([at])
    assert float(more.loss) == pytest.approx(np.log(3) * (len(y) + 2 * (y == 1).sum()), rel=1e-5)
    assert float(less.loss) == pytest.approx(np.log(3) * len(y), rel=1e-5)
