"""Loaders: seeded random access to a step's input."""

import numpy as np
import torch
from torch import nn

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.augment import Augmentation
from classifiers.training.loaders import ActivationLoader, PixelLoader
from classifiers.training.unfreezing import UnfrozenNetwork
from featstore.backbone import Backbone

CPU = torch.device("cpu")


def reopened(node="all"):
    backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    return UnfrozenNetwork(ImageClassifier(backbone, nn.Linear(576, 2), ("a", "b")), node)


def images(count, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size=(count, side, side, 3), dtype=np.uint8)


def test_without_augmentation_images_are_normalised_and_no_more():
    unfrozen = reopened()
    sources = images(5, 32)
    loader = PixelLoader(unfrozen, sources, images(3, 32, 1), None, 32, seed=0, device=CPU)
    values = loader.training(np.array([4, 1]), epoch=0)
    mean, std = (np.array(v, dtype=np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = ((sources[[4, 1]].astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        loader.validation(np.array([2])).numpy(),
        ((images(3, 32, 1)[[2]].astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2),
        rtol=1e-5,
        atol=1e-5,
    )


def test_an_image_is_the_same_in_any_batch_and_another_in_the_next_epoch():
    loader = PixelLoader(reopened(), images(6, 46), images(1, 32), Augmentation(), 32, seed=0, device=CPU)
    together = loader.training(np.array([3, 0, 5]), epoch=1)
    assert together.shape == (3, 3, 32, 32)
    torch.testing.assert_close(loader.training(np.array([5]), epoch=1)[0], together[2])
    assert not torch.allclose(loader.training(np.array([5]), epoch=2)[0], together[2])
    torch.testing.assert_close(loader.training(np.array([3, 0, 5]), epoch=1), together, rtol=0, atol=0)


def test_a_frozen_bottom_is_run_without_gradients():
    unfrozen = reopened("features.9")
    loader = PixelLoader(unfrozen, images(2, 46), images(1, 32), Augmentation(), 32, seed=0, device=CPU)
    values = loader.training(np.array([0, 1]), epoch=0)
    assert values.shape[1] == 48 and not values.requires_grad


def test_every_view_of_an_image_has_its_turn():
    views = [np.full((4, 2, 3, 3), view, dtype=np.float16) for view in range(3)]
    loader = ActivationLoader(views, np.zeros((1, 2, 3, 3), np.float16), seed=0, device=CPU)
    seen = np.stack([loader.training(np.arange(4), epoch)[:, 0, 0, 0].numpy() for epoch in range(30)])
    assert all(set(seen[:, row]) == {0, 1, 2} for row in range(4))
    assert len(np.unique(seen, axis=1).T) > 1  # rows do not move in step
    one = loader.training(np.array([2]), 7)
    assert one.dtype == torch.float32 and one[0, 0, 0, 0] == seen[7, 2]
