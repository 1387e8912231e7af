"""Trees from strangers: checked before anything walks them, so that no walk leaves its arrays or goes round for ever.

LightGBM's parser crashes on about a third of the model texts in which something was changed. It therefore never sees
the text of a file: the text is parsed here, by a grammar that knows only what a classifier needs, and written anew from
what was understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import BundleError

MOST_TREES, MOST_LEAVES, MOST_FEATURES = 1_000_000, 1 << 20, 1 << 20

_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,4})?")
_WHOLE = re.compile(r"-?\d{1,9}")
_BINARY = re.compile(r"binary sigmoid:(\d{1,6}(?:\.\d{1,12})?)")
_RANGE = re.compile(rf"none|\[{_NUMBER.pattern}:{_NUMBER.pattern}\]")

_SPLIT_FIELDS = (
    ("split_feature", _WHOLE), ("split_gain", _NUMBER), ("threshold", _NUMBER), ("decision_type", _WHOLE),
    ("left_child", _WHOLE), ("right_child", _WHOLE),
)  # fmt: skip
_LEAF_FIELDS = (("leaf_value", _NUMBER), ("leaf_weight", _NUMBER), ("leaf_count", _WHOLE))
_INNER_FIELDS = (("internal_value", _NUMBER), ("internal_weight", _NUMBER), ("internal_count", _WHOLE))


def checked_lightgbm(text: bytes, features: int, classes: int) -> bytes:
    """Check a LightGBM model text and write it anew.

    Parameters
    ----------
    text : bytes
        What `Booster.model_to_string` wrote.
    features : int
        Numbers a row that the model will be given.
    classes : int

    Returns
    -------
    bytes
        A model with the same predictions.

    Raises
    ------
    BundleError
        The text is something else, or its trees are no trees.
    """
    try:
        lines = iter(text.decode("ascii").split("\n"))
        header, width, count = _header(lines, features, classes)
        trees = list(_trees(lines, width))
    except (ValueError, KeyError) as error:
        raise BundleError(f"the LightGBM model is malformed ({error}); train the head again") from error
    per_round = 1 if classes == 2 else classes
    if len(trees) != count or len(trees) % per_round:
        raise BundleError(f"the LightGBM model has {len(trees)} trees, expected {count}; train the head again")
    sizes = " ".join(str(len(tree)) for tree in trees)
    return f"{header}\ntree_sizes={sizes}\n\n{''.join(trees)}end of trees\n\n".encode("ascii")


def _header(lines: Iterator[str], features: int, classes: int) -> tuple[str, int, int]:
    """The head of the text anew, the number of features and of trees."""
    if _line(lines) != "tree":
        raise ValueError("it does not begin with 'tree'")
    fields: dict[str, str] = {}
    while line := _line(lines):
        name, _, value = line.partition("=")
        if name in fields:
            raise ValueError(f"{name!r} stands there twice")
        fields[name] = value
    outputs = 1 if classes == 2 else classes
    expected = {"num_class": outputs, "num_tree_per_iteration": outputs, "max_feature_idx": features - 1}
    for name, number in expected.items():
        if fields[name] != str(number):
            raise ValueError(f"{name} is {fields[name][:20]!r}, not {number}")
    if not re.fullmatch(r"v[234]", fields["version"]) or not _fits(fields["objective"], classes):
        raise ValueError(f"version {fields['version'][:20]!r}, objective {fields['objective'][:40]!r}")
    if features > MOST_FEATURES:
        raise ValueError(f"{features} features")
    ranges = fields["feature_infos"].split(" ")
    if len(ranges) != features or not all(_RANGE.fullmatch(entry) for entry in ranges):
        raise ValueError("feature_infos are no ranges")
    lines_out = [
        "tree", f"version={fields['version']}", f"num_class={outputs}", f"num_tree_per_iteration={outputs}",
        "label_index=0", f"max_feature_idx={features - 1}", f"objective={fields['objective']}",
        "feature_names=" + " ".join(f"Column_{i}" for i in range(features)), f"feature_infos={' '.join(ranges)}",
    ]  # fmt: skip
    return "\n".join(lines_out), features, len(fields["tree_sizes"].split())


def _fits(objective: str, classes: int) -> bool:
    """Whether it is that of so many classes: LightGBM writes as many numbers a row as it says, room or not."""
    if classes > 2:
        return objective == f"multiclass num_class:{classes}"
    binary = _BINARY.fullmatch(objective)
    return binary is not None and float(binary[1]) > 0


def _line(lines: Iterator[str]) -> str:
    """The next line; a StopIteration would end a generator instead of the check."""
    for line in lines:
        return line
    raise ValueError("it ends too early")


def _trees(lines: Iterator[str], features: int) -> Iterator[str]:
    """Every tree anew."""
    for number in range(MOST_TREES):
        line = _line(lines)
        if line == "end of trees":
            return
        if line != f"Tree={number}":
            raise ValueError(f"{line[:40]!r} stands where tree {number} should begin")
        fields: dict[str, str] = {}
        while line := _line(lines):
            name, _, value = line.partition("=")
            fields[name] = value
        if _line(lines):
            raise ValueError(f"tree {number} does not end with two empty lines")
        yield f"Tree={number}\n" + _tree(fields, features) + "\n\n"
    raise ValueError(f"more than {MOST_TREES} trees")


def _tree(fields: Mapping[str, str], features: int) -> str:
    """One tree anew."""
    leaves = int(_one(fields["num_leaves"], _WHOLE))
    if not 1 <= leaves <= MOST_LEAVES or fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError(f"a tree of {leaves} leaves, {fields['num_cat'][:20]} categorical splits")
    values: dict[str, list[str]] = {}
    for names, count in ((_SPLIT_FIELDS, leaves - 1), (_LEAF_FIELDS, leaves), (_INNER_FIELDS, leaves - 1)):
        for name, pattern in names:
            values[name] = fields.get(name, "").split()
            # a tree that is a single leaf has no weight and count
            optional = name in ("leaf_weight", "leaf_count") and leaves == 1 and not values[name]
            if not optional and len(values[name]) != count:
                raise ValueError(f"{name} has {len(values[name])} entries, expected {count}")
            for value in values[name]:
                _one(value, pattern)
    if leaves > 1:
        _check_splits(
            {name: np.array(values[name], dtype=np.int64) for name, p in _SPLIT_FIELDS if p is _WHOLE}, features
        )
    order = [name for name, _ in (*_SPLIT_FIELDS, *_LEAF_FIELDS, *_INNER_FIELDS)]
    body = [f"num_leaves={leaves}", "num_cat=0", *(f"{name}={' '.join(values[name])}" for name in order)]
    return "\n".join([*body, "is_linear=0", f"shrinkage={_one(fields['shrinkage'], _NUMBER)}", ""])


def _one(value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value) or not np.isfinite(float(value)):
        raise ValueError(f"{value[:40]!r} is no number")
    return value


def _check_splits(splits: Mapping[str, NDArray[np.int64]], features: int) -> None:
    """Numerical splits on features that exist; from the root every node and every leaf is reached once."""
    feature, kind = splits["split_feature"], splits["decision_type"]
    if feature.min() < 0 or feature.max() >= features or (kind & 1).any() or kind.min() < 0 or kind.max() >= 12:
        raise ValueError("a split on a feature, or of a kind, that is not there")
    inner = len(feature)
    children = np.concatenate([splits["left_child"], splits["right_child"]])
    parents = np.tile(np.arange(inner), 2)
    if (children >= 0).any() and (children <= parents)[children >= 0].any():
        raise ValueError("a node above its parent")
    leaves = np.sort(~children[children < 0])
    nodes = np.sort(children[children >= 0])
    if not np.array_equal(leaves, np.arange(inner + 1)) or not np.array_equal(nodes, np.arange(1, inner)):
        raise ValueError("nodes that are not reached exactly once")


def check_forest(arrays: Mapping[str, NDArray[Any]], width: int) -> None:
    """Check a forest in arrays: every inner node leads to two nodes behind it, so every walk ends in a leaf.

    Parameters
    ----------
    arrays : mapping
        `roots`, `left`, `right`, `feature`, `threshold`, `leaf`, `value`, as `classifiers.heads.forest.Trees` has them.
    width : int
        Numbers a row that the trees are given.

    Raises
    ------
    BundleError
        They are no trees.
    """
    names = ("left", "right", "feature", "leaf", "roots")
    left, right, feature, leaf, roots = (arrays[name] for name in names)
    threshold, value = arrays["threshold"], arrays["value"]
    whole = all(arrays[name].ndim == 1 and arrays[name].dtype.kind == "i" for name in names)
    nodes = len(left)
    even = all(len(a) == nodes for a in (right, feature, leaf, threshold)) and threshold.ndim == 1
    if not whole or not even or not nodes or not len(roots) or value.ndim != 2 or not len(value):
        raise BundleError("the forest's arrays have other shapes than a forest's; train the head again")
    inner = feature >= 0
    own = np.arange(nodes)[inner]
    if ((left[inner] <= own) | (right[inner] <= own)).any():
        raise BundleError("the forest's trees go round in circles; train the head again")
    ends = leaf[~inner]
    outside = (left[inner] >= nodes).any() or (right[inner] >= nodes).any() or (feature >= width).any()
    if outside or roots.min() < 0 or roots.max() >= nodes or ends.min() < 0 or ends.max() >= len(value):
        raise BundleError("the forest's trees lead out of their arrays; train the head again")
    if not np.isfinite(value).all() or (value < 0).any() or not np.allclose(value.sum(axis=1), 1, atol=1e-3):
        raise BundleError("the forest's leaves are no probabilities; train the head again")
