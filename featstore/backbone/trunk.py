"""Trunk: a network's graph, cut at nodes and pooled; and a trunk that takes pixels.

Normalisation is the first layer of what takes pixels, so that batches travel as uint8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from featstore.backbone.catalogue import BackboneInfo, aliases
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import UnknownNameError


class NetworkGraph:
    """A network's graph: every value that it computes, by name, in the order of computing.

    A module path names what the module returns. A module that is called several times has further names with `_1`,
    `_2` (`layer1.0.relu_1` is the second ReLU of a ResNet block); an operation outside of modules is named by its
    function (`layer1.0.add`). These are the names of `torchvision.models.feature_extraction`.

    Parameters
    ----------
    network : nn.Module
        In eval mode, on any device.
    """

    def __init__(self, network: nn.Module) -> None:
        self.graph = fx.Tracer().trace(network)
        found: dict[str, tuple[int, int, fx.Node]] = {}
        for position, node in enumerate(self.graph.nodes):
            if node.op in ("placeholder", "output", "get_attr"):
                continue
            stack = [path.replace("@", "_") for path in node.meta.get("nn_module_stack", {})]
            if node.op != "call_module":
                operation = node.target if isinstance(node.target, str) else node.target.__name__
                stack.append(_unused(".".join([*stack[-1:], operation]), found))
            for path in stack:
                found[path] = (position, -path.count("."), node)
        ordered = sorted(found.items(), key=lambda item: item[1][:2])
        self.nodes: dict[str, fx.Node] = {path: node for path, (_, _, node) in ordered}

    def shapes(self, network: nn.Module, input_size: int) -> dict[str, tuple[int, ...]]:
        """Shape of every value for one image.

        Parameters
        ----------
        network : nn.Module
            On the meta device: nothing is computed.
        """
        recorder = _Recorder(fx.GraphModule(network, self.graph))
        recorder.run(torch.empty(1, 3, input_size, input_size, device="meta"))
        return {path: recorder.shapes[node] for path, node in self.nodes.items()}

    def find(self, node: str, info: BackboneInfo) -> str:
        """The module path of a node or alias.

        Raises
        ------
        UnknownNameError
            With close matches.
        """
        path = aliases(info).get(node, (node, ""))[0]
        if path not in self.nodes:
            known = [name for name, (target, _) in aliases(info).items() if target in self.nodes]
            raise UnknownNameError(
                f"node of {info.name}", node, [*known, *self.nodes], f"`featstore nodes {info.name}` lists them"
            )
        return path

    def cut(self, network: nn.Module, paths: Iterable[str]) -> fx.GraphModule:
        """A module that returns the values at `paths` as a tuple and computes nothing behind them.

        It shares its parameters with `network`.
        """
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        graph.graph_copy(self.graph, copies)
        graph.output(tuple(copies[self.nodes[path]] for path in paths))
        body = fx.GraphModule(network, graph)
        body.graph.eliminate_dead_code()
        body.delete_all_unused_submodules()
        body.recompile()
        return body


class _Recorder(fx.Interpreter):
    """Keeps the shape of every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape[1:])
        return value


def _unused(name: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    repeats = (f"{name}_{i}" for i in range(1, len(taken) + 1))
    return name if name not in taken else next(other for other in repeats if other not in taken)


class Pool(nn.Module):
    """Spatial map -> one vector an image, in float32.

    Parameters
    ----------
    kind : {"avg", "max", "gem", "flatten", "none"}
        "gem" is the generalised mean with p = 3 over values clamped to at least 1e-6 (Radenovic, Tolias and Chum,
        "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019); "none" is for vectors.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c), or (b, c * h * w) for "flatten"; (b, d) -> (b, d) for "none"."""
        x = x.float()
        if self.kind == "avg":
            return x.mean((2, 3))
        if self.kind == "max":
            return x.amax((2, 3))
        if self.kind == "gem":
            return x.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
        return x.flatten(1)


class Trunk(nn.Module):
    """A network cut at its deepest node, with pooling: normalised images -> one matrix a node.

    Parameters
    ----------
    body : fx.GraphModule
        Returns one value a node.
    pools : sequence of str
        Kind of pooling of each.
    """

    def __init__(self, body: fx.GraphModule, pools: Sequence[str]) -> None:
        super().__init__()
        self.body = body
        self.pools = nn.ModuleList(Pool(kind) for kind in pools)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(b, 3, s, s) normalised float -> tuple of (b, d_i) float32."""
        return tuple(pool(value) for pool, value in zip(self.pools, self.body(x), strict=True))


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
    def of(cls, trunk: nn.Module, transform: TransformSpec) -> Self:
        """What takes the pixels that a transform gives: shares its parameters with the trunk."""
        return cls(trunk, transform.mean, transform.std).eval()

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
