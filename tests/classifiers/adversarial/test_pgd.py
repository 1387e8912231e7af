import numpy as np
import pytest
import torch
from torch import nn

from classifiers.adversarial.attack import Attack
from classifiers.adversarial.pgd import run_attack
from classifiers.inspection.lossless_crop import to_tensor
from featstore.errors import AttackError
from tests.support.pictures import texture
from tests.support.small_classifiers import linear_pixels, small_classifier

torch.set_num_threads(1)


def greys(count: int = 4, side: int = 16) -> np.ndarray:
    """Pictures far from black and white, so that no step is cut off."""
    return np.stack([texture(i, side, side) // 2 + 64 for i in range(count)])


def said(network: nn.Module, pictures: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(to_tensor(pictures)).numpy()


def size(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    d = (a.astype(float) - b) / 255
    return np.abs(d).max((1, 2, 3)), np.sqrt((d**2).sum((1, 2, 3)))


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_on_a_linear_network_the_best_change_is_found_exactly(method):
    network = linear_pixels(classes=2)
    pictures = greys()
    labels = said(network, pictures).argmax(1)
    result = run_attack(network, pictures, labels, Attack(method=method, epsilon=8 / 255, steps=20))
    weight = network[1].weight.numpy()
    away = np.sign(weight[1] - weight[0]).reshape(3, 16, 16).transpose(1, 2, 0)
    best = pictures + 8 * np.where(labels == 0, 1, -1)[:, None, None, None] * away
    np.testing.assert_array_equal(result.pictures, best.astype(np.uint8))


def test_in_l2_a_linear_network_is_fooled_along_its_weights():
    network = linear_pixels(classes=2)
    pictures = greys()
    labels = said(network, pictures).argmax(1)
    result = run_attack(network, pictures, labels, Attack(norm="l2", epsilon=0.8))
    change = (result.pictures.astype(float) - pictures).reshape(4, -1)
    weight = network[1].weight.numpy()
    away = (weight[1] - weight[0]).reshape(3, 16, 16).transpose(1, 2, 0).ravel()
    cosine = (change @ away) * np.where(labels == 0, 1, -1) / np.linalg.norm(change, axis=1) / np.linalg.norm(away)
    assert (cosine > 0.97).all()
    assert (size(result.pictures, pictures)[1] > 0.79).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [True, False])
def test_a_convolutional_network_is_fooled_within_epsilon(norm, targeted):
    network = small_classifier(side=32)
    pictures = np.stack([texture(i, 32, 32) for i in range(6)])
    labels = said(network, pictures).argmax(1)
    targets = (labels + 1) % 3 if targeted else None
    epsilon = 6 / 255 if norm == "linf" else 1.0
    attack = Attack(norm=norm, epsilon=epsilon, steps=15)
    result = run_attack(network, pictures, labels, attack, targets=targets)
    now = said(network, result.pictures)
    np.testing.assert_array_equal(now, result.logits)  # what was believed during the attack holds of the 8-bit result
    reached = now.argmax(1) == targets if targeted else now.argmax(1) != labels
    np.testing.assert_array_equal(result.fooled, reached)
    assert reached.mean() >= 0.8
    linf, l2 = size(result.pictures, pictures)
    assert ((linf if norm == "linf" else l2) <= epsilon + 1e-9).all()
    # noise of the same size does next to nothing: it is the gradient that does it
    noise = np.random.default_rng(0).integers(-6, 7, pictures.shape)
    shaken = np.clip(pictures + noise, 0, 255).astype(np.uint8)
    assert (said(network, shaken).argmax(1) != labels).mean() < reached.mean()


def test_epsilon_zero_gives_the_image_back():
    network = small_classifier(side=32)
    pictures = np.stack([texture(i, 32, 32) for i in range(2)])
    labels = said(network, pictures).argmax(1)
    result = run_attack(network, pictures, labels, Attack(epsilon=0))
    np.testing.assert_array_equal(result.pictures, pictures)
    assert not result.fooled.any() and not result.steps.any()


def test_the_same_seed_gives_the_same_pictures_in_any_batch():
    network = small_classifier(side=32)
    pictures = np.stack([texture(i, 32, 32) for i in range(3)])
    labels = said(network, pictures).argmax(1)
    attack = Attack(epsilon=2 / 255, steps=3, restarts=2, seed=5)
    together = run_attack(network, pictures, labels, attack, numbers=[4, 7, 9])
    alone = run_attack(network, pictures[1:2], labels[1:2], attack, numbers=[7])
    np.testing.assert_array_equal(alone.pictures[0], together.pictures[1])
    other = run_attack(network, pictures, labels, Attack(epsilon=2 / 255, steps=3, restarts=2, seed=6))
    assert (other.pictures != together.pictures).any()


def test_restarts_keep_the_best():
    network = small_classifier(side=32, seed=1)
    pictures = np.stack([texture(i, 32, 32) for i in range(4)])
    labels = said(network, pictures).argmax(1)

    def lead(restarts: int) -> np.ndarray:
        logits = run_attack(network, pictures, labels, Attack(epsilon=1 / 255, steps=2, restarts=restarts)).logits
        own = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
        np.put_along_axis(logits, labels[:, None], -np.inf, 1)
        return logits.max(1) - own

    assert (lead(4) >= lead(1)).all() and (lead(4) > lead(1)).any()


def test_an_image_is_let_go_once_it_is_fooled_surely_enough():
    network = small_classifier(side=32)
    pictures = np.stack([texture(i, 32, 32) for i in range(4)])
    labels = said(network, pictures).argmax(1)
    quick = run_attack(network, pictures, labels, Attack(epsilon=8 / 255, steps=30, enough=0.0))
    full = run_attack(network, pictures, labels, Attack(epsilon=8 / 255, steps=30))
    assert quick.fooled.all() and full.fooled.all()
    assert (quick.steps < 30).all() and (full.steps == 30).all()


def test_descent_goes_on_until_the_class_is_sure():
    network = small_classifier(side=32)
    pictures = np.stack([texture(i, 32, 32) for i in range(3)])
    labels = said(network, pictures).argmax(1)
    targets = (labels + 2) % 3
    result = run_attack(network, pictures, labels, Attack(method="descent"), targets=targets)
    probability = torch.tensor(said(network, result.pictures)).softmax(1).numpy()[np.arange(3), targets]
    assert (probability >= 0.9).all()


class Step(nn.Module):
    """A network whose gradient is zero everywhere: it sees only whether the picture is bright."""

    def forward(self, x):
        bright = (x.mean((1, 2, 3)) > 0.5).float() + 0 * x.sum((1, 2, 3))
        return torch.stack([bright, 1 - bright], 1)


def test_a_gradient_of_zero_is_noticed():
    pictures = np.full((2, 8, 8, 3), 200, dtype=np.uint8)
    result = run_attack(Step(), pictures, [0, 0], Attack(epsilon=2 / 255, steps=3))
    assert result.flat.all() and not result.fooled.any()
    assert not run_attack(linear_pixels(8), pictures, [0, 0], Attack(epsilon=2 / 255, steps=1)).flat.any()


class Cliff(nn.Module):
    """A network with finite logits everywhere and an infinite gradient on dark pictures."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        root = torch.sqrt(mean - mean.detach() + (mean > 0.5).float())
        return torch.stack([mean, root - 2], 1)


def test_a_gradient_that_is_not_finite_leaves_the_image_as_it_was():
    pictures = np.stack([np.full((8, 8, 3), 40), np.full((8, 8, 3), 200)]).astype(np.uint8)
    result = run_attack(Cliff(), pictures, [0, 0], Attack(method="fgsm", epsilon=2 / 255))
    assert result.broken.tolist() == [True, False]
    np.testing.assert_array_equal(result.pictures[0], pictures[0])


def test_the_margin_has_a_gradient_where_the_cross_entropy_has_none():
    network = linear_pixels(classes=2)
    with torch.no_grad():
        network[1].weight.mul_(2000)  # so sure that the probability of the other class is 0 in float32
    pictures = greys()
    labels = said(network, pictures).argmax(1)
    assert run_attack(network, pictures, labels, Attack(epsilon=1 / 255, steps=1)).flat.all()
    result = run_attack(network, pictures, labels, Attack(epsilon=60 / 255, goal="margin", steps=5))
    assert not result.flat.any() and result.fooled.all()


def test_the_own_class_is_no_target():
    with pytest.raises(AttackError, match="the target is the image's own class"):
        run_attack(linear_pixels(), greys(2), [0, 1], Attack(), targets=[2, 1])


def test_progress_counts_steps():
    calls = []
    network = linear_pixels()
    run_attack(network, greys(1), [0], Attack(steps=3), progress=lambda *call: calls.append(call))
    assert [call[1:3] for call in calls] == [(1, 3), (2, 3), (3, 3)]
