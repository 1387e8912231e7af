"""Forests and boosted trees as ONNX-ML tree ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.models.onnx_heads import Arrays, check_size

TREE_HEADS = ("forest", "lightgbm")
_WEIGHT_BYTES = 24  # of one target of one leaf: three numbers of it, as text and packed


@dataclass
class Ensemble:
    """Trees as the lists that `TreeEnsembleRegressor` of ai.onnx.ml takes.

    Examples
    --------
    >>> trees = Ensemble(targets=1)
    >>> trees.split(0, 0, feature=3, threshold=0.5, left=1, right=2)
    >>> trees.leaf(0, 1, {0: 1.0})
    >>> trees.leaf(0, 2, {0: -1.0})
    >>> trees.nodes["modes"]
    ['BRANCH_LEQ', 'LEAF', 'LEAF']
    """

    targets: int
    nodes: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
        }
    )
    weights: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    )

    def split(self, tree: int, node: int, *, feature: int, threshold: float, left: int, right: int) -> None:
        """A node whose rows go left where the feature is at most the threshold."""
        self._node(tree, node, feature, at_most(threshold), "BRANCH_LEQ", left, right)

    def leaf(self, tree: int, node: int, values: Mapping[int, float]) -> None:
        """A leaf that adds values to targets."""
        self._node(tree, node, 0, 0.0, "LEAF", 0, 0)
        for target, value in values.items():
            for name, entry in zip(self.weights, (tree, node, target, value), strict=True):
                self.weights[name].append(entry)

    def _node(self, *entries: Any) -> None:
        for name, entry in zip(self.nodes, entries, strict=True):
            self.nodes[name].append(entry)

    def attributes(self) -> dict[str, Any]:
        """Keyword arguments of the ONNX node."""
        return {
            "n_targets": self.targets, "aggregate_function": "SUM", "post_transform": "NONE",
            **{f"nodes_{name}": values for name, values in self.nodes.items()},
            **{f"target_{name}": values for name, values in self.weights.items()},
        }  # fmt: skip


def at_most(threshold: float) -> float:
    """The largest float32 that is no larger: no float32 feature lies between the two, so every row goes where it went.

    Examples
    --------
    >>> at_most(0.1) <= 0.1 < at_most(0.1) + 1e-8
    True
    """
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))


def append_trees(model: Any, name: str, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Put a tree head behind the output `features` of an ONNX model; the model then gives `probabilities`, too.

    Parameters
    ----------
    model : onnx.ModelProto
        Changed in place.
    name : {"forest", "lightgbm"}
    meta, arrays
        Of the head's `get_state()`.

    Raises
    ------
    FeatstoreError
        The trees do not fit into one file.
    """
    from onnx import TensorProto, helper, numpy_helper

    k = len(meta["classes"])
    graph, there = model.graph, "features"
    if "matrix" in arrays:
        for part in ("matrix", "offset"):
            graph.initializer.append(numpy_helper.from_array(np.asarray(arrays[part], np.float32), f"head_{part}"))
        graph.node.append(helper.make_node("MatMul", [there, "head_matrix"], ["head_directions"]))
        graph.node.append(helper.make_node("Add", ["head_directions", "head_offset"], ["head_features"]))
        there = "head_features"
    trees, ending = _forest(arrays) if name == "forest" else _boosted(arrays, k)
    graph.node.append(
        helper.make_node("TreeEnsembleRegressor", [there], ["head_scores"], domain="ai.onnx.ml", **trees.attributes())
    )
    if ending == "share":
        graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "head_axis"))
        graph.node.append(helper.make_node("ReduceSum", ["head_scores", "head_axis"], ["head_total"], keepdims=1))
        graph.node.append(helper.make_node("Div", ["head_scores", "head_total"], ["probabilities"]))
    elif ending == "softmax":
        graph.node.append(helper.make_node("Softmax", ["head_scores"], ["probabilities"], axis=1))
    else:
        graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "head_one"))
        graph.node.append(helper.make_node("Sigmoid", ["head_scores"], ["head_second"]))
        graph.node.append(helper.make_node("Sub", ["head_one", "head_second"], ["head_first"]))
        graph.node.append(helper.make_node("Concat", ["head_first", "head_second"], ["probabilities"], axis=1))
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", k]))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))


def _forest(arrays: Arrays) -> tuple[Ensemble, str]:
    """Every leaf gives its shares of the classes; their mean is the answer."""
    value, leaf, feature = arrays["value"], arrays["leaf"], arrays["feature"]
    check_size("forest", _WEIGHT_BYTES * int(np.count_nonzero(value)), "trees")
    trees = Ensemble(value.shape[1])
    roots = arrays["roots"].tolist()
    for tree, (root, end) in enumerate(zip(roots, [*roots[1:], len(feature)], strict=True)):
        for node in range(root, end):
            if feature[node] >= 0:
                trees.split(
                    tree, node - root, feature=int(feature[node]), threshold=float(arrays["threshold"][node]),
                    left=int(arrays["left"][node]) - root, right=int(arrays["right"][node]) - root,
                )  # fmt: skip
            else:
                shares: NDArray[np.float32] = value[leaf[node]]
                trees.leaf(tree, node - root, {int(c): float(shares[c]) for c in np.flatnonzero(shares)})
    return trees, "share"


def _boosted(arrays: Arrays, k: int) -> tuple[Ensemble, str]:
    """Every leaf adds to the score of its tree's class."""
    import lightgbm

    text = arrays["model"].tobytes().decode("utf-8")
    document = lightgbm.Booster(model_str=text).dump_model()
    targets = 1 if k == 2 else k
    trees = Ensemble(targets)
    for tree, info in enumerate(document["tree_info"]):
        pending, count = [(info["tree_structure"], 0)], 1
        while pending:
            part, node = pending.pop()
            if "split_feature" not in part:
                trees.leaf(tree, node, {tree % targets: float(part["leaf_value"])})
                continue
            left, right, count = count, count + 1, count + 2
            trees.split(
                tree, node, feature=int(part["split_feature"]), threshold=float(part["threshold"]), left=left,
                right=right,
            )  # fmt: skip
            pending += [(part["left_child"], left), (part["right_child"], right)]
    return trees, "sigmoid" if k == 2 else "softmax"
