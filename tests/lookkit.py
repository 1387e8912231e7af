"""Small classifiers of pixels for the tests that look inside one."""

import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifiers.network import ImageClassifier
from featstore.backbone import Backbone
from tests.pictures import texture

CLASSES = ("cats", "dogs", "newts")


def linear_pixels(side: int = 16, classes: int = 3, seed: int = 0) -> nn.Module:
    """A linear function of the pixels: every best attack on it is known in closed form."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(classes, 3 * side * side, generator=generator) * 0.2)
        network[1].bias.zero_()
    return network.eval().requires_grad_(False)


def small_classifier(seed: int = 0, side: int = 64, name: str = "mobilenet_v3_small") -> ImageClassifier:
    """The first blocks of a real architecture with random weights, and a head that tells random textures apart."""
    backbone = Backbone(name, "none", nodes=("features.3",), input_size=side, seed=seed)
    sample = torch.from_numpy(np.stack([texture(i, side, side) for i in range(16)]))
    features = backbone.trunk((sample.permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.23)[0]
    mean, std = features.mean(0), features.std(0) + 1e-6
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(len(CLASSES), features.shape[1], generator=generator) / std
    head = nn.Linear(features.shape[1], len(CLASSES)).requires_grad_(False)
    head.weight.copy_(weight)
    head.bias.copy_(-weight @ mean)
    return ImageClassifier(backbone, head, CLASSES)


def write_image(path, seed: int = 0, width: int = 90, height: int = 70) -> bytes:
    """A textured PNG file; its path as bytes."""
    buffer = io.BytesIO()
    Image.fromarray(texture(seed, width, height)).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return str(path).encode()
