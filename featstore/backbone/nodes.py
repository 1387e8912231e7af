"""The places where a network can be cut: names, shapes, and the cut itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from featstore.backbone.architecture import build_network
from featstore.backbone.catalogue import BackboneInfo, lookup
from featstore.errors import UnknownNameError

PENULTIMATE = "avgpool"
"""The node whose numbers the classifier of every family starts from: the last feature map, pooled."""


@dataclass(frozen=True)
class NodeInfo:
    """One place to cut.

    Attributes
    ----------
    node : str
        Name to ask for.
    shape : tuple of int
        Of one image's value: (channels, height, width), or (width,) for a vector.
    pooled_width : int
        Numbers an image after avg, max or gem pooling.
    note : str
        For people.

    Examples
    --------
    >>> NodeInfo("layer4", (512, 7, 7), 512, "Sequential").flat_width
    25088
    """

    node: str
    shape: tuple[int, ...]
    pooled_width: int
    note: str

    @property
    def flat_width(self) -> int:
        """Numbers an image with pool "flatten"."""
        return int(torch.Size(self.shape).numel())


def aliases(info: BackboneInfo) -> dict[str, tuple[str, str]]:
    """Names that are no module paths (or mean something else) -> module path and note."""
    last_map = "layer4" if info.family == "resnet" else "features"
    known = {PENULTIMATE: (last_map, f"the last feature map ({last_map}), pooled")}
    if info.family == "vgg":
        known["fc6"] = ("classifier.1", "first 4096-wide layer, after its ReLU")
        known["fc7"] = ("classifier.4", "second 4096-wide layer, after its ReLU")
    return known


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


def node_table(name: str, *, input_size: int | None = None, every: bool = False) -> list[NodeInfo]:
    """The places where a network can be cut, in the order of computing, aliases first. Nothing is computed.

    Parameters
    ----------
    name : str
        One of `catalogue.BACKBONES`.
    input_size : int, optional
        Side of the input, pixels; default: as the weights prescribe.
    every : bool
        Every module and operation, not only the outer two levels.

    Raises
    ------
    UnknownNameError
        No such backbone.

    Examples
    --------
    >>> [(node.node, node.shape) for node in node_table("resnet18", input_size=64)][:2]
    [('avgpool', (512,)), ('conv1', (64, 32, 32))]
    """
    info = lookup(name)
    network = build_network(name)
    graph = NetworkGraph(network)
    shapes = graph.shapes(network, input_size or info.input_size)
    table = []
    for node, (path, note) in aliases(info).items():
        shape = shapes[path][:1] if node == PENULTIMATE else shapes[path]
        table.append(NodeInfo(node, shape, shape[0], note))
    modules = {path for path, _ in network.named_modules()}
    for path, shape in shapes.items():
        if path in aliases(info) or not (every or (path.count(".") < 2 and path in modules)):
            continue
        table.append(NodeInfo(path, shape, shape[0], _kind(network, path)))
    return table


def _kind(network: nn.Module, path: str) -> str:
    try:
        return type(network.get_submodule(path)).__name__
    except AttributeError:
        return "operation" if not path.rpartition("_")[2].isdigit() else "called again"


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


POOLS = ("avg", "max", "gem", "flatten")


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
