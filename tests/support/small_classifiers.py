"""Small classifiers of pixels for the tests that look inside one."""

import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from classifiers.heads.registry import make_head
from classifiers.models.bundle import save_bundle
from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone import Backbone
from tests.support.pictures import texture

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


TINTS = {"red": (60, -40, -40), "blue": (-40, -40, 60)}


def tinted(name: str, seed: int, side: int = 40) -> np.ndarray:
    """A textured picture in one of two tints: two classes that any network can tell apart."""
    return np.clip(texture(seed, side + 8, side) * 0.6 + 50 + np.array(TINTS[name]), 0, 255).astype(np.uint8)


def write_tinted(root, each: int = 4, split: str = "", first: int = 100):
    """An image folder of both tints; the folder."""
    for name in TINTS:
        for i in range(each):
            path = root / split / name / f"{name}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(tinted(name, first + i)).save(path)
    return root


def save_tint_bundle(path, head: str = "logistic", node: str = "features.3", side: int = 32):
    """A bundle that tells the tints apart, on a network with random weights; its path."""
    backbone = Backbone("mobilenet_v3_small", "none", nodes=(node,), input_size=side)
    spec = backbone.transform
    images = np.stack([spec.apply(tinted(name, i)) for name in sorted(TINTS) for i in range(12)])
    y = np.repeat([0, 1], 12)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.no_grad():
        X = backbone.trunk((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std)[0].numpy()
    fitted = make_head(head, seed=0, budget="quick", cv=3).fit(X, y)
    fingerprint = backbone.fingerprints()[node]
    save_bundle(path, fitted, fingerprint, backbone.recipe(), sorted(TINTS), name=head)
    return path


def seen(classifier, path) -> np.ndarray:
    """What a classifier says of an image file: probabilities, of shape (k,)."""
    with torch.no_grad():
        return classifier(classifier.open([path])).softmax(1)[0].numpy()
