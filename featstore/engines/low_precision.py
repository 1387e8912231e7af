"""A network in bf16 or fp16 that keeps its features.

Three things make it so, and cost little or nothing: weights are rounded so that their errors cancel (`rounding`),
biases stay float32, and the first layers compute in float32 where the network needs that, for everything else stands on
them. MobileNetV2 with ImageNet weights on 200 photographs: the least cosine to the float32 features was 0.98, now it is
0.9993.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from featstore.backbone.backbone import Backbone
from featstore.backbone.trunk import PixelTrunk, Trunk, fold_batch_norms
from featstore.engines import autotune
from featstore.engines.parity import check_images
from featstore.engines.rounding import round_filters

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
KEPT = (0, 2, 3, 5, 8, 13, 21)
"""Convolutions that may stay in float32, the first ones of a network; the fewest that suffice are taken."""
COSINE = 0.9995
"""That suffice: half of the allowed distance on the check images, for photographs are more varied."""
WIDEST = 1024
"""Inputs of a filter beyond which errors average out by themselves."""
SHARED = 0.9
"""Part of the variance that a pixel of a feature map shares with its neighbours."""


@dataclass(frozen=True)
class LayerPrecisions:
    """How a backbone is computed in a precision.

    Attributes
    ----------
    body : fx.GraphModule
        The backbone's, batch norms folded; all tensors float32, those of low layers already rounded.
    low : frozenset of str
        Names of the convolutions and linear layers that compute in `dtype`; all others in float32.
    kept : int
        First convolutions that stay in float32.
    """

    body: fx.GraphModule
    low: frozenset[str]
    kept: int


_known: WeakKeyDictionary[Backbone, dict[str, LayerPrecisions]] = WeakKeyDictionary()


def layer_precisions(backbone: Backbone, precision: str) -> LayerPrecisions:
    """Choose roundings and the layers that stay in float32; once for each backbone, which is frozen, and precision.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
    """
    known = _known.setdefault(backbone, {})
    if precision in known:
        return known[precision]
    body = fold_batch_norms(backbone.trunk.body)
    if precision == "fp32":
        return LayerPrecisions(body, frozenset(), 0)
    known[precision] = _chosen(backbone, body, precision)
    return known[precision]


def precision_provenance(backbone: Backbone, precision: str) -> dict[str, int]:
    """What of this may change bits, for the provenance: {} in float32, else the number of layers that stayed in it."""
    return {} if precision == "fp32" else {"float32_layers": layer_precisions(backbone, precision).kept}


def inference_module(backbone: Backbone, precision: str, device: torch.device) -> PixelTrunk:
    """A copy of the network made for speed: batch norms folded into their convolutions, channels-last, on `device`."""
    module = _module(backbone, layer_precisions(backbone, precision), DTYPES[precision])
    return module.to(device).to(memory_format=torch.channels_last).eval()


class LowPrecision(nn.Module):
    """A convolution or linear layer in bf16 or fp16 whose bias is added in float32.

    Parameters
    ----------
    layer : nn.Conv2d or nn.Linear
        Its weight is rounded.
    dtype : torch.dtype
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = copy.copy(layer)  # for its settings; tensors are replaced, not changed
        self.layer._parameters = {"weight": nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)}
        shape = (1, -1, 1, 1) if isinstance(layer, nn.Conv2d) else (1, -1)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().view(shape), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer, in its dtype."""
        weight, layer = self.layer.weight, self.layer
        x = x.to(weight.dtype)
        if isinstance(layer, nn.Conv2d):
            y = functional.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            y = functional.linear(x, weight)
        return y if self.bias is None else (y + self.bias).to(weight.dtype)


def _module(backbone: Backbone, how: LayerPrecisions, dtype: torch.dtype) -> PixelTrunk:
    trunk = copy.deepcopy(Trunk(how.body, list(backbone.pools.values())))
    for name in how.low:
        layer = trunk.body.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        trunk.body.set_submodule(name, LowPrecision(layer, dtype))
    return PixelTrunk.of(trunk, backbone.transform)


def _chosen(backbone: Backbone, body: fx.GraphModule, precision: str) -> LayerPrecisions:
    """The fewest first convolutions in float32 that keep the features of the check images, or the most."""
    images = torch.from_numpy(check_images(backbone.transform.crop))
    rounded, expected = _rounded(backbone, body, DTYPES[precision], images)
    called = [str(step.target) for step in body.graph.nodes if step.op == "call_module"]
    names = [name for name in dict.fromkeys(called) if isinstance(body.get_submodule(name), nn.Conv2d | nn.Linear)]
    convolutions = [name for name in names if isinstance(body.get_submodule(name), nn.Conv2d)]
    identity = _identity(backbone, precision)
    known = autotune.load_choice(identity, [str(kept) for kept in KEPT])
    for kept in KEPT if known is None else [int(known)]:
        how = LayerPrecisions(rounded, frozenset(names) - set(convolutions[:kept]), kept)
        for name in convolutions[:kept]:
            rounded.set_submodule(name, body.get_submodule(name))
        if known is not None:
            return how
        with torch.inference_mode():
            found = _module(backbone, how, DTYPES[precision])(images)
        cosine = min(_cosine(f, g) for f, g in zip(expected, found, strict=True))
        if cosine >= COSINE:
            break
    autotune.save_choice(identity, str(how.kept), {"cosine": cosine})
    return how


def _identity(backbone: Backbone, precision: str) -> dict[str, Any]:
    """What the choice depends on."""
    return {
        "kept": list(KEPT), "cosine": COSINE, "backbone": backbone.name, "weights": backbone.state_sha256(),
        "pools": dict(backbone.pools), "input_size": backbone.transform.crop, "precision": precision,
        "versions": {name: version(name) for name in ("featstore", "torch")},
    }  # fmt: skip


def _cosine(f: Tensor, g: Tensor) -> float:
    return float(functional.cosine_similarity(f.double(), g.double(), dim=1).min())


def _rounded(
    backbone: Backbone, body: fx.GraphModule, dtype: torch.dtype, images: Tensor
) -> tuple[fx.GraphModule, tuple[Tensor, ...]]:
    """A copy of the body whose weights are representable in `dtype`, and what the body itself makes of the images."""
    rounded = copy.deepcopy(body)
    inputs: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str, layer: nn.Module) -> RemovableHandle:
        def look(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[name] = args[0].mean((0, 2, 3)), args[0].var((0, 2, 3), correction=0)

        return layer.register_forward_pre_hook(look)

    watched = [watch(name, layer) for name, layer in rounded.named_modules() if isinstance(layer, nn.Conv2d)]
    with torch.inference_mode():
        expected: tuple[Tensor, ...] = _module(backbone, LayerPrecisions(rounded, frozenset(), 0), dtype)(images)
    for handle in watched:
        handle.remove()
    for name, layer in rounded.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        weight = layer.weight.detach()
        filters = weight.flatten(1)
        if isinstance(layer, nn.Conv2d) and name in inputs and filters.shape[1] <= WIDEST:
            new = round_filters(filters, dtype, *_usual_input(layer, *inputs[name])).view_as(weight)
        else:
            new = weight.to(dtype).float()
        layer.weight = nn.Parameter(new, requires_grad=False)
    return rounded, expected


def _usual_input(layer: nn.Conv2d, mean: Tensor, variance: Tensor) -> tuple[list[Tensor], Tensor]:
    """What a layer's filters see, as `round_filters` takes it."""
    taps = layer.kernel_size[0] * layer.kernel_size[1]
    filters, channels = layer.out_channels, layer.in_channels // layer.groups
    # a filter sees the channels of its group
    mean, variance = (
        v.view(layer.groups, 1, channels, 1)
        .expand(layer.groups, filters // layer.groups, channels, taps)
        .reshape(filters, channels * taps)
        for v in (mean, variance)
    )
    if layer.groups == 1 or taps == 1:
        return [mean], variance
    return [mean, torch.sqrt(SHARED * variance)], (1 - SHARED) * variance
