"""UnfrozenNetwork: parted at a cut into a frozen bottom and an open top that is trained together with a head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone.catalogue import aliases, lookup
from featstore.backbone.trunk import NetworkGraph, Pool
from featstore.errors import UnknownNameError

ALL, HEAD = "all", "head"
"""What to reopen, beside the name of a node: the whole network, or nothing but the head."""

SMALLEST_VARIANCE = 1e-6


class UnfrozenNetwork(nn.Module):
    """A classifier of images, parted where its network is reopened.

    Parameters
    ----------
    classifier : ImageClassifier
        Its parameters are shared, so training the top trains the classifier.
    node : str
        The first node to reopen: "all", "head", or a node of the backbone. It and everything behind it is trained.

    Attributes
    ----------
    cut : str
        The value that the top starts from, by name: "" for the pixels, "features.16" for what that module returns.
    bottom : nn.Module or None
        (b, 3, s, s) normalised float32 -> the value at the cut; None where everything is open.
    top : nn.Module
        Value at the cut -> (b, d) float32.
    head : nn.Module
        (b, d) -> (b, k) logits.
    blocks : tuple of tuple of str
        Names of the top's parameters, as in `top`, one tuple a block, from the input to the output.

    Raises
    ------
    UnknownNameError
        No such node, a node behind the features, or one that a skip connection leads around.

    Examples
    --------
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> network = UnfrozenNetwork(ImageClassifier(backbone, nn.Linear(512, 2), ("cat", "dog")), "layer4")
    >>> value = network.lower(torch.zeros(1, 3, 32, 32))
    >>> network.cut, tuple(value.shape), tuple(network(value).shape)
    ('layer3', (1, 256, 2, 2), (1, 2))
    """

    def __init__(self, classifier: ImageClassifier, node: str) -> None:
        super().__init__()
        self.classifier = classifier
        backbone = classifier.backbone
        graph = NetworkGraph(backbone.network)
        end = graph.nodes[graph.find(backbone.nodes[0], lookup(backbone.name))]
        order = _needed_for(end)
        start = _start(graph, order, node, backbone.name)
        crossing = _crossing(order, start)
        if len(crossing) != 1:
            good = [path for path in _starts(graph, order) if len(_crossing(order, _index(order, path))) == 1]
            raise UnknownNameError(
                f"place to reopen {backbone.name} at",
                node,
                [ALL, HEAD, *good],
                "a skip connection leads around that node; take the block that holds it",
            )
        value = crossing[0]
        names = {n: path for path, n in graph.nodes.items()}
        self.cut = "" if value.op == "placeholder" else names[value]
        self.bottom: nn.Module | None = None
        if value.op != "placeholder":
            self.bottom = _graph(backbone.network, order[:start], None, value)
        pool = Pool(backbone.pools[backbone.nodes[0]])
        self.top = nn.Sequential()
        self.blocks: tuple[tuple[str, ...], ...] = ()
        if self.bottom is not None and value is end:  # nothing is open but the head, which takes pooled features
            self.cut, self.bottom = backbone.nodes[0], nn.Sequential(self.bottom, pool)
        else:
            body = _graph(backbone.network, order[start:], value, end)
            self.top = nn.Sequential(body, pool)
            self.blocks = _blocks(order[start:], body)
        self.head = classifier.head
        self.requires_grad_(False)
        self.top.requires_grad_(True)
        self.head.requires_grad_(True)

    def normalised(self, pixels: Tensor) -> Tensor:
        """(b, 3, s, s) float32 in [0, 1] -> what the network takes."""
        return (pixels - self.classifier.mean) / self.classifier.std

    @torch.no_grad()
    def lower(self, pixels: Tensor) -> Tensor:
        """The value at the cut, without gradients.

        Parameters
        ----------
        pixels : Tensor of shape (b, 3, s, s), float32 in [0, 1]
        """
        x = self.normalised(pixels)
        value: Tensor = x if self.bottom is None else self.bottom(x)
        return value

    def forward(self, value: Tensor) -> Tensor:
        """The value at the cut -> (b, k) float32 logits."""
        logits: Tensor = self.head(self.top(value))
        return logits.float()

    def open_parts(self) -> nn.ModuleDict:
        """What is trained, under the names `top` and `head`."""
        return nn.ModuleDict({"top": self.top, "head": self.head})

    def set_training(self, adapt_statistics: bool) -> None:
        """Dropout on; the statistics of batch norm stay as they are, or follow the batches where that is asked for.

        `Module.train()` alone lets the running statistics of a "frozen" network drift.
        """
        self.eval()
        self.top.train()
        self.head.train()
        for module in self.top.modules():
            if isinstance(module, _BatchNorm) and not adapt_statistics:
                module.eval()

    def batch_norms(self) -> list[_BatchNorm]:
        """The top's batch normalisations."""
        return [module for module in self.top.modules() if isinstance(module, _BatchNorm)]

    @torch.no_grad()
    def recalibrate(self, values: Iterable[Tensor]) -> None:
        """Set the top's batch-norm statistics to those of the data, and its affine part so that nothing else changes.

        The network computes the same as before in eval mode, and now nearly the same in training mode. Needed before
        statistics may adapt where those in the weights are not the data's: of another domain, or folded into the
        convolutions (mean 0, variance 1), where the first step in training mode would destroy the network.

        Parameters
        ----------
        values : iterable of Tensor
            Values at the cut, a few hundred images.
        """
        norms = [n for n in self.batch_norms() if n.running_mean is not None and n.affine]
        sums: dict[nn.Module, Tensor] = {}

        def gather(module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            x = inputs[0].double().transpose(0, 1).flatten(1)  # (channels, everything else)
            found = torch.stack([torch.full((len(x),), x.shape[1]).to(x), x.sum(1), x.square().sum(1)])
            sums[module] = sums[module] + found if module in sums else found

        handles = [n.register_forward_hook(gather) for n in norms]
        self.eval()
        try:
            for value in values:
                self.top(value)
        finally:
            for handle in handles:
                handle.remove()
        for norm in norms:
            count, total, squares = sums[norm]
            mean = total / count
            _set_statistics(norm, mean, (squares / count - mean.square()).clamp_min(SMALLEST_VARIANCE))


def _set_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Give a batch norm other statistics; its affine part takes the difference up."""
    assert norm.running_mean is not None and norm.running_var is not None
    old_mean, old_variance = norm.running_mean.double(), norm.running_var.double()
    slope = norm.weight.double() / (old_variance + norm.eps).sqrt()
    norm.bias.copy_(norm.bias.double() + slope * (mean - old_mean))
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _needed_for(end: fx.Node) -> list[fx.Node]:
    """Every value that `end` depends on and itself, in the order of computing."""
    needed = {end}
    pending = [end]
    while pending:
        for node in pending.pop().all_input_nodes:
            if node not in needed:
                needed.add(node)
                pending.append(node)
    return [node for node in end.graph.nodes if node in needed]


def _stack(node: fx.Node) -> list[str]:
    return [path.replace("@", "_") for path in node.meta.get("nn_module_stack", {})]


def _start(graph: NetworkGraph, order: Sequence[fx.Node], node: str, backbone: str) -> int:
    """Position in `order` of the first operation to train."""
    if node == ALL:
        return next(i for i, n in enumerate(order) if n.op != "placeholder")
    if node == HEAD:
        return len(order)
    known = _starts(graph, order)
    if node in aliases(lookup(backbone)) or node not in known:
        hint = f"`featstore nodes {backbone}` lists the modules; it and all behind it is trained"
        raise UnknownNameError(f"place to reopen {backbone} at", node, [ALL, HEAD, *known], hint)
    return _index(order, node)


def _starts(graph: NetworkGraph, order: Sequence[fx.Node]) -> list[str]:
    """Module paths and operations that training can start at."""
    inside = set(order)
    return [path for path, node in graph.nodes.items() if node in inside]


def _index(order: Sequence[fx.Node], path: str) -> int:
    """Position of the first operation of a module; an operation outside of modules is named after its place."""
    for i, node in enumerate(order):
        if path in _stack(node):
            return i
    owner = path.rpartition(".")[0]
    return next(i for i, node in enumerate(order) if node.op != "call_module" and owner in ["", *_stack(node)])


def _crossing(order: Sequence[fx.Node], start: int) -> list[fx.Node]:
    """Values that are computed before `start` and used from there on; at the end of `order`: its last value."""
    if start == len(order):
        return [order[-1]]
    behind = set(order[start:])
    return [node for node in order[:start] if behind.intersection(node.users)]


def _graph(network: nn.Module, nodes: Sequence[fx.Node], given: fx.Node | None, result: fx.Node) -> fx.GraphModule:
    """A module that computes `result` by `nodes`, from its input in the place of `given`."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {} if given is None else {given: graph.placeholder("value")}
    for node in nodes:
        copies[node] = graph.node_copy(node, lambda n: copies[n])
    graph.output(copies[result])
    module = fx.GraphModule(network, graph)
    module.delete_all_unused_submodules()
    return module.eval()


def _blocks(nodes: Sequence[fx.Node], body: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The parameters of a graph's modules, grouped by the outer two levels of their names, in the order of use."""
    blocks: dict[str, dict[str, None]] = {}
    for node in nodes:
        if node.op == "call_module":
            path = str(node.target)
            names = [f"0.{path}.{name}" for name, _ in body.get_submodule(path).named_parameters()]
            if names:
                blocks.setdefault(".".join(path.split(".")[:2]), {}).update(dict.fromkeys(names))
    return tuple(tuple(names) for names in blocks.values())
