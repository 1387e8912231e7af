"""PixelTrunk: a trunk that takes pixels. Normalisation is its first layer, so that batches travel as uint8."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from featstore.backbone.backbone import Backbone


class PixelTrunk(nn.Module):
    """uint8 images -> one float32 matrix a node.

    Parameters
    ----------
    trunk : nn.Module
        Takes normalised images, as `Backbone.trunk`.
    mean, std : sequence of 3 float
        Normalisation of RGB in [0, 1].
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, trunk: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.trunk = trunk
        # in float64, so that the two constants round only once
        scale = 1 / (torch.tensor(std, dtype=torch.float64) * 255)
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self.register_buffer("scale", scale.float().view(1, 1, 1, 3))
        self.register_buffer("shift", shift.float().view(1, 1, 1, 3))

    @classmethod
    def of(cls, backbone: Backbone) -> Self:
        """The backbone's trunk itself: shares its parameters."""
        return cls(backbone.trunk, backbone.transform.mean, backbone.transform.std).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(b, s, s, 3) uint8 -> tuple of (b, d_i) float32."""
        x = images.float() * self.scale + self.shift
        outputs: tuple[Tensor, ...] = self.trunk(x.permute(0, 3, 1, 2))
        return outputs


def fold_batch_norms(body: fx.GraphModule) -> fx.GraphModule:
    """The same network with every batch norm whose convolution nobody else reads folded into that convolution.

    What is not folded is shared with `body`, which stays as it was.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(body.graph, {}))
    folded = fx.GraphModule(body, graph)
    modules = dict(folded.named_modules())
    for node in list(folded.graph.nodes):
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or node.op != "call_module" or before.op != "call_module":
            continue
        norm, convolution = modules[str(node.target)], modules[str(before.target)]
        if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d) and len(before.users) == 1:
            folded.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            folded.graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded
