"""The training objective against torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from classifiers.training.objective import class_weights, cross_entropy, targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_torchs_cross_entropy(smoothing):
    torch.manual_seed(0)
    logits, y = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 3, 1, 0])
    wanted = targets(y, 4, smoothing)
    loss = cross_entropy(logits, wanted, torch.ones(4)) / wanted.sum()
    torch.testing.assert_close(loss, F.cross_entropy(logits, y, label_smoothing=smoothing))


def test_with_class_weights_it_is_torchs_weighted_mean():
    torch.manual_seed(0)
    logits, y, weights = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0.5, 1.0, 2.0])
    wanted = targets(y, 3, 0.0)
    loss = cross_entropy(logits, wanted, weights) / (wanted * weights).sum()
    torch.testing.assert_close(loss, F.cross_entropy(logits, y, weight=weights))


def test_a_batch_in_parts_has_the_same_loss():
    torch.manual_seed(0)
    logits, wanted, weights = torch.randn(8, 3), torch.rand(8, 3), torch.rand(3)
    whole = cross_entropy(logits, wanted, weights)
    parts = sum(cross_entropy(logits[i : i + 3], wanted[i : i + 3], weights) for i in range(0, 8, 3))
    torch.testing.assert_close(whole, parts)


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(class_weights(y, 3, "balanced").numpy(), expected, rtol=1e-6)
    assert class_weights(y, 3, None).tolist() == [1, 1, 1]
