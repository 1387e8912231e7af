"""Class coverage: which classes the images of an evaluation protocol train, and which they judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, listing, printable
from classifiers.validation.protocol import EvaluationProtocol
from featstore.errors import FeaturesError
from featstore.features import FeatureSet


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
            "images, or go on with `allow_untested=True`"
        )
    if untested.any():
        warnings.append(f"No image judges {count(int(untested.sum()), 'class', 'classes')}: {named(untested)}.")
    if (empty := counts == 0).any():
        warnings.append(
            f"{count(int(empty.sum()), 'class', 'classes')} without any image took no part: "
            f"{listing([printable(features.classes[i]) for i in np.flatnonzero(empty).tolist()])}."
        )
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
