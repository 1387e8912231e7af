"""Aligned feature sets: the same images in the same order, fit to be learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, listing, printable
from classifiers.validation.labelled import empty_classes_text, labelled_part
from classifiers.validation.protocol import EvaluationProtocol
from featstore.errors import FeaturesError
from featstore.features import FeatureSet
from featstore.system.machine import require_memory

_COPIES = 4  # of the largest feature set, held at once: standardised rows, a fold's rows, products
_TABLES = 6  # of probabilities, float64


def align(features: FeatureSet | Sequence[FeatureSet]) -> tuple[list[FeatureSet], list[str]]:
    """The feature sets, with the same images in the same order.

    Parameters
    ----------
    features : FeatureSet or sequence of FeatureSet

    Returns
    -------
    sets : list of FeatureSet
        Without images that have no label, or that one of the sets lacks.
    notes : list of str
        What was left out.

    Raises
    ------
    FeaturesError
        No set, no images in common, labels that differ, fewer than two classes, NaN or infinity (the image is named),
        features that are the same for all images, or more than there is memory for.
    """
    sets = [features] if isinstance(features, FeatureSet) else list(features)
    if not sets:
        raise FeaturesError("no feature set was given; expected at least one")
    notes: list[str] = []
    for i, one in enumerate(sets):
        sets[i], unlabelled = labelled_part(one)
        notes += unlabelled
    sets = _common_images(sets, notes)
    for one in sets:
        _check_learnable(one)
    check_memory(sets, "comparing")
    return sets, list(dict.fromkeys(notes))


def check_memory(sets: Sequence[FeatureSet], doing: str) -> None:
    """Refuse what memory does not hold.

    Parameters
    ----------
    sets : sequence of FeatureSet
        At least one; learnt from one after the other.
    doing : str
        For the message, as in "comparing 100 images of 512 features".

    Raises
    ------
    FeaturesError
        Naming what it takes and what there is.
    """
    n, k = len(sets[0]), len(sets[0].classes)
    widest = max(sets, key=lambda one: one.X.nbytes)
    require_memory(
        _COPIES * widest.X.nbytes + _TABLES * 8 * n * k,
        f"{doing} {count(n, 'image')} of {widest.X.shape[1]:,} features in {count(k, 'class', 'classes')}",
        "use a node or `pool` with fewer features, or fewer images",
    )


def _common_images(sets: list[FeatureSet], notes: list[str]) -> list[FeatureSet]:
    first = sets[0]
    if all(one.ids == first.ids for one in sets):
        kept = list(range(len(first)))
    else:
        shared = set(first.ids).intersection(*(one.ids for one in sets[1:]))
        kept = [i for i, name in enumerate(first.ids) if name in shared]
        if not kept:
            raise FeaturesError(
                f"{_name(first)} and {_name(sets[1])} hold no image in common; extract both from the same folder"
            )
        missing = max(len(one) for one in sets) - len(kept)
        if missing:
            notes.append(f"{count(missing, 'image')} that not every feature set holds took no part.")
        order = [first.ids[i] for i in kept]
        for number, one in enumerate(sets):
            place = {name: i for i, name in enumerate(one.ids)}
            sets[number] = one.subset(np.array([place[name] for name in order]))
    first = sets[0]
    for one in sets[1:]:
        if one.classes != first.classes or not np.array_equal(one.y, first.y):
            raise FeaturesError(
                f"{_name(first)} and {_name(one)} hold other labels for the same images; expected equal"
            )
        if not np.array_equal(one.digests, first.digests):
            row = int(np.flatnonzero((one.digests != first.digests).any(axis=1))[0])
            raise FeaturesError(
                f"{_name(first)} and {_name(one)} saw other bytes under {first.ids[row]!r}; extract both again"
            )
        if not np.array_equal(one.splits, first.splits):
            raise FeaturesError(f"{_name(first)} and {_name(one)} divide the images into other parts; expected equal")
    return sets


def _name(one: FeatureSet) -> str:
    return f"{one.fingerprint.backbone}/{one.fingerprint.node}/{one.fingerprint.pool} of {one.dataset!r}"


def _check_learnable(one: FeatureSet) -> None:
    """Refuse what cannot be learnt from."""
    if not len(one):
        raise FeaturesError(
            f"{_name(one)} has no image with features and a label; see `featstore info` for the reasons"
        )
    for at in range(0, len(one), 4096):
        bad = np.flatnonzero(~np.isfinite(one.X[at : at + 4096]).all(axis=1))
        if bad.size:
            raise FeaturesError(
                f"the features of {one.ids[at + int(bad[0])]!r} ({_name(one)}) hold NaN or infinity; expected finite "
                'numbers: extract again with `precision="fp32"`, or leave the image out'
            )
    if len(np.unique(one.y)) < 2:
        raise FeaturesError(
            f"all images of data set {one.dataset!r} are of one class, {one.classes[int(one.y[0])]!r}; expected two or "
            "more"
        )
    if not np.ptp(one.X, axis=0).any():
        raise FeaturesError(
            f"all {count(len(one), 'image')} have the same features ({_name(one)}); expected features that tell images "
            "apart: look at the images, or use another node"
        )


def named_runs(sets: Sequence[FeatureSet]) -> list[str]:
    """What to add to a head's name to tell the sets apart: nothing for one set, else ` · ` and in what they differ."""
    if len(sets) == 1:
        return [""]
    prints = [one.fingerprint for one in sets]
    told = [part for part in ("backbone", "node") if len({getattr(one, part) for one in prints}) > 1]
    names = ["/".join(getattr(one, part) for part in told) for one in prints]
    for part in ("pool", "weights", "precision", "input", "key"):
        twice = {name for name in names if names.count(name) > 1}
        if len({getattr(one, part) for one, name in zip(prints, names, strict=True) if name in twice}) > 1:
            names = [
                "/".join(filter(None, (name, getattr(one, part)))) if name in twice else name
                for name, one in zip(names, prints, strict=True)
            ]
    return [f" · {name}" for name in names]


def check_classes(
    features: FeatureSet, protocol: EvaluationProtocol, *, allow_untested: bool = False, allow_few: bool = False
) -> list[str]:
    """Classes that the protocol cannot judge as one would expect.

    Parameters
    ----------
    features : FeatureSet
    protocol : EvaluationProtocol
    allow_untested : bool
        Go on where a class of several training images has no test image.
    allow_few : bool
        Go on where a class has fewer training images than there are folds.

    Returns
    -------
    list of str
        Warnings.

    Raises
    ------
    FeaturesError
        For a class that is to be judged and that nothing trains, or that trains and that nothing judges, or that has
        fewer training images than there are folds.
    """
    k = len(features.classes)
    counts = np.bincount(features.y, minlength=k)
    trained = np.bincount(features.y[protocol.trained], minlength=k)
    judged = np.bincount(features.y[protocol.judged], minlength=k)

    def named(which: np.ndarray) -> str:
        rows = np.flatnonzero(which)
        return listing([f"{printable(features.classes[i])!r} ({counts[i]})" for i in rows.tolist()], most=5)

    if (lost := (judged > 0) & (trained == 0)).any():
        raise FeaturesError(
            f"test images of {count(int(lost.sum()), 'class', 'classes')} that no training image shows: {named(lost)}; "
            "no head can ever answer with them. Check the labels for typing errors, or add training images"
        )
    warnings = []
    untested = (trained > 0) & (judged == 0)
    if protocol.name == "given" and (untested & (trained > 1)).any() and not allow_untested:
        raise FeaturesError(
            f"training images of {count(int(untested.sum()), 'class', 'classes')} that no test image shows: "
            f"{named(untested)}; nothing could be said about them. Check the labels for typing errors, add test "
            'images, compare with `protocol="cv"` (all images judge, by cross-validation), or go on with '
            "`allow_untested=True`"
        )
    if untested.any():
        warnings.append(f"No image judges {count(int(untested.sum()), 'class', 'classes')}: {named(untested)}.")
    if (empty := counts == 0).any():
        names = [printable(features.classes[i]) for i in np.flatnonzero(empty).tolist()]
        warnings.append(empty_classes_text(names))
    if few := check_few(trained, features.classes, protocol.folds, allow_few=allow_few):
        warnings.append(f"{few}.")
    return warnings


def check_few(trained: NDArray[np.int64], classes: Sequence[str], folds: int, *, allow_few: bool = False) -> str:
    """Classes with fewer images than folds: in some fold nothing judges them.

    Parameters
    ----------
    trained : ndarray of shape (k,), int64
        Images of each class that are cross-validated; classes without any are passed over.
    classes : sequence of k str
    folds : int
    allow_few : bool
        Say so instead of refusing.

    Returns
    -------
    str
        What to know about them, without a full stop; "" where there are none.

    Raises
    ------
    FeaturesError
        Where there are such classes and they are not allowed.
    """
    few = np.flatnonzero((trained > 0) & (trained < folds))
    if not few.size:
        return ""
    many = f"{count(len(few), 'class has', 'classes have')} fewer training images than the {folds} folds"
    named = listing([f"{printable(classes[i])!r} ({trained[i]})" for i in few.tolist()], most=5)
    if allow_few:
        return f"{many}, so that not every fold judges {'it' if len(few) == 1 else 'them'}: {named}"
    least = int(trained[few].min())
    way_out = f"cross-validate with `folds={least}`, add images, or" if least > 1 else "add images, or"
    raise FeaturesError(
        f"{many} of the cross-validation: {named}; {way_out} go on with `allow_few=True`, where not every fold "
        "judges such a class"
    )
