"""A small real network in a file, with what torchvision's own eager network makes of images: for the engines' tests."""

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from featstore.backbone import Backbone

SIDE = 64


def seeded(name):
    """torchvision's own network, in-place operations and all, with batch-norm statistics that matter."""
    torch.manual_seed(0)
    network = models.get_model(name, weights=None).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def example(folder, name="mobilenet_v3_small", nodes=("avgpool", "features.3"), **options):
    reference = seeded(name)
    save_file(reference.state_dict(), folder / "w.safetensors")
    return Backbone(name, folder / "w.safetensors", nodes=nodes, input_size=SIDE, **options)


def coarse_images(count):
    """Large smooth patches, in which the errors of neighbouring pixels add up."""
    patches = images(count)[:, ::16, ::16] // 8 + 100
    return patches.repeat(16, axis=1).repeat(16, axis=2)


def delicate():
    """A network whose first depthwise filters nearly cancel, so that errors of weights and pixels grow in them."""
    backbone = Backbone("mobilenet_v2", "none", nodes=("features.2",), input_size=SIDE)
    convolution, norm, *_ = backbone.network.features[1].conv[0]
    generator = torch.Generator().manual_seed(0)
    pattern = torch.randn(convolution.weight.shape, generator=generator)
    pattern -= pattern.mean((2, 3), keepdim=True)
    with torch.no_grad():
        convolution.weight.copy_(8 * pattern + 0.02 * torch.randn(pattern.shape, generator=generator))
        norm.bias.fill_(0.37)
    return backbone


def torchvision_features(backbone, pixels):
    """Normalised as torchvision does it, through torchvision's network, averaged; no code of the engines."""
    reference = seeded(backbone.name)
    seen = {}
    last = "layer4" if backbone.name.startswith("resnet") else "features"
    for node in backbone.nodes:
        path = last if node == "avgpool" else node
        reference.get_submodule(path).register_forward_hook(
            lambda module, args, output, node=node: seen.update({node: output.flatten(2).mean(2).numpy()})
        )
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(backbone.transform.mean).view(3, 1, 1)) / torch.tensor(backbone.transform.std).view(3, 1, 1)
    with torch.inference_mode():
        reference(x)
    return [seen[node] for node in backbone.nodes]


def assert_same_features(found, expected, largest=1e-4, cosine=0.99999):
    for f, g in zip(expected, found, strict=True):
        assert f.shape == g.shape and g.dtype == np.float32
        assert np.abs(g - f).max() <= largest * np.abs(f).max()
        cosines = (f * g).sum(1) / np.linalg.norm(f, axis=1) / np.linalg.norm(g, axis=1)
        assert cosines.min() >= cosine


def assert_bits_depend_on_the_image_alone(run, count=37):
    """Other order, other neighbours, other lengths of the batch."""
    pixels = images(count, seed=1)
    whole = run(pixels)
    order = np.random.default_rng(2).permutation(count)
    for found, expected in zip(run(pixels[order]), whole, strict=True):
        assert np.array_equal(found, expected[order])
    for length in (1, 3, 8, 31):
        for found, expected in zip(run(pixels[:length]), whole, strict=True):
            assert np.array_equal(found, expected[:length])
    others = images(count, seed=3)
    others[5] = pixels[7]
    for found, expected in zip(run(others), whole, strict=True):
        assert np.array_equal(found[5], expected[7])
