"""The parts of a comparison held against one another: kinds of images, lone groups, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, listing, printable
from classifiers.leakage.data_groups import data_groups
from classifiers.validation.alignment import check_classes
from classifiers.validation.protocol import EvaluationProtocol, make_protocol
from classifiers.validation.shift import Shift, find_shift
from featstore.backbone.landmarks import network_order
from featstore.errors import FeaturesError
from featstore.features import FeatureSet


def deepest_with_unlabelled(features: FeatureSet | Sequence[FeatureSet]) -> FeatureSet | None:
    """The deepest feature set that has images without a label beside those with one; None where none has.

    Parameters
    ----------
    features : FeatureSet or sequence of FeatureSet
        As `compare` is given them.
    """
    sets = [features] if isinstance(features, FeatureSet) else list(features)
    given = [one for one in sets if one.labelled().any() and not one.labelled().all()]
    return max(given, key=lambda one: network_order(one.fingerprint.node)) if given else None


def part_shifts(
    features: FeatureSet,
    plan: EvaluationProtocol,
    sources: NDArray[np.int64] | None,
    unlabelled: FeatureSet | None = None,
    *,
    seed: int = 0,
) -> tuple[Shift | None, Shift | None]:
    """A given test part, and images without a label, against the training part.

    Parameters
    ----------
    features : FeatureSet
        The labelled images at the deepest node.
    plan : EvaluationProtocol
    sources : ndarray of shape (n,), int64, or None
        Source of each row of `features`.
    unlabelled : FeatureSet, optional
        With rows without a label.
    seed : int

    Returns
    -------
    test, other : Shift or None
        None where the data bring no test part, or no image without a label.
    """
    test = other = None
    if plan.name == "given":
        ((train, judged),) = plan.outer
        test = find_shift(features.X, train, judged, y=features.y, groups=sources, seed=seed)
    if unlabelled is not None and np.isfinite(unlabelled.X).all():
        labelled = unlabelled.labelled()
        rows = np.intersect1d(unlabelled.training(), np.flatnonzero(labelled))
        other = find_shift(
            unlabelled.X, rows, np.flatnonzero(~labelled), groups=data_groups(unlabelled), seed=seed, what="unlabelled"
        )
    return test, other


def lone_groups(features: FeatureSet, plan: EvaluationProtocol, groups: NDArray[np.int64] | None) -> list[str]:
    """Warn of classes whose training images are all in one group: no fold can judge them.

    Parameters
    ----------
    features : FeatureSet
    plan : EvaluationProtocol
    groups : ndarray of shape (n,), int64, or None
        Group of each row.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    if groups is None:
        return []
    rows = plan.trained
    pairs = np.unique(np.column_stack([features.y[rows], groups[rows]]), axis=0)
    several = np.bincount(features.y[rows], minlength=len(features.classes))
    lone = (np.bincount(pairs[:, 0], minlength=len(several)) == 1) & (several > 1)
    if not lone.any():
        return []
    named = [f"{printable(features.classes[i])!r} ({several[i]})" for i in np.flatnonzero(lone).tolist()]
    return [
        f"All training images of {count(len(named), 'class', 'classes')} are of one group each, so that "
        f"cross-validation judges none of them: {listing(named, most=5)}. Add images of other sources, or part them "
        "more finely by a pattern in `groups`."
    ]


def needed_options(
    features: FeatureSet,
    groups: NDArray[np.int64] | None = None,
    *,
    apart: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], str]:
    """The fewest options with which `compare` does not refuse these features for the images that classes have.

    Parameters
    ----------
    features : FeatureSet
    groups, apart : ndarray of shape (n,), int64, optional
        See `make_protocol`.
    seed : int

    Returns
    -------
    options : dict
        Of `compare`: "protocol", "allow_few", "allow_untested"; empty where none is needed, or where none would help.
    reason : str
        What stops a comparison without them, or with any; empty where nothing does.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> names = tuple(f"{i}.jpg" for i in range(13))
    >>> pets = FeatureSet(
    ...     X=np.ones((13, 2), np.float32), y=np.repeat([0, 1], [10, 3]), ids=names, classes=("cat", "dog"),
    ...     splits=np.full(13, ""), digests=np.zeros((13, 32), np.uint8), fingerprint=made, dataset="pets", root=b"/",
    ...     paths=tuple(map(str.encode, names)),
    ... )
    >>> needed_options(pets)[0]
    {'allow_few': True}
    """
    few: dict[str, Any] = {"allow_few": True}
    untested: dict[str, Any] = {"allow_untested": True}
    all_judge: dict[str, Any] = {"protocol": "cv"}
    tested = features.testing()
    alone = len(np.unique(features.y[tested])) == 1  # such a part cannot tell classes apart: then all images judge
    others = [all_judge, all_judge | few] if alone else [untested, untested | few, all_judge, all_judge | few]
    reason = ""
    tried: list[dict[str, Any]] = [{}, few, *others]
    for options in tried:
        try:
            _check(features, groups, apart, seed, **options)
        except FeaturesError as error:
            reason = reason or str(error)
        else:
            return options, reason
    return {}, reason


def _check(
    features: FeatureSet,
    groups: NDArray[np.int64] | None,
    apart: NDArray[np.int64] | None,
    seed: int,
    protocol: str = "auto",
    **allowed: bool,
) -> None:
    """Refuse what `compare` refuses."""
    plan = make_protocol(features, protocol=protocol, seed=seed, groups=groups, apart=apart)
    check_classes(features, plan, **allowed)
