"""The labelled part of a feature set: the images that heads learn from and are judged by."""

from __future__ import annotations

import dataclasses

import numpy as np

from classifiers.formatting import count, listing, printable
from featstore.errors import FeaturesError
from featstore.features import FeatureSet


def labelled_part(features: FeatureSet) -> tuple[FeatureSet, list[str]]:
    """The images that have a label, and how many have none.

    Parameters
    ----------
    features : FeatureSet

    Returns
    -------
    part : FeatureSet
        The same object where every image has a label.
    notes : list of str
        One sentence where images were left out.

    Raises
    ------
    FeaturesError
        There are images, and none has a label.

    Examples
    --------
    >>> import numpy as np
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> pets = FeatureSet(
    ...     X=np.ones((3, 4), np.float32), y=np.array([0, 1, -1]), ids=("a.jpg", "b.jpg", "c.jpg"),
    ...     classes=("cat", "dog"), splits=np.array(["train", "train", "test"]),
    ...     digests=np.zeros((3, 32), np.uint8), fingerprint=made, dataset="pets", root=b"/pets",
    ...     paths=(b"a.jpg", b"b.jpg", b"c.jpg"),
    ... )
    >>> part, notes = labelled_part(pets)
    >>> part.ids, notes
    (('a.jpg', 'b.jpg'), ['1 image of the test part without a label took no part.'])
    """
    labelled = features.labelled()
    if labelled.all():
        return features, []
    if not labelled.any():
        raise FeaturesError(
            f"no image of data set {features.dataset!r} has a label ({count(len(features), 'image')} with features); "
            "heads learn from labels: extract the images again with class folders, a list or a pattern that says the "
            "class of each. `featstore predict` classifies them with a bundle that was trained elsewhere"
        )
    left = int(np.count_nonzero(~labelled))
    parts = set(features.splits[~labelled].tolist())
    where = f" of the {parts.pop()} part" if len(parts) == 1 and "" not in parts else ""
    return features.subset(labelled), [f"{count(left, 'image')}{where} without a label took no part."]


def without_empty_classes(features: FeatureSet) -> tuple[FeatureSet, list[str]]:
    """The same images with the classes that occur among them, for what must have images of every class.

    Parameters
    ----------
    features : FeatureSet
        Of labelled images.

    Returns
    -------
    features : FeatureSet
        The same object where every class occurs.
    notes : list of str
        One sentence that names the classes without any image.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> pets = FeatureSet(
    ...     X=np.ones((2, 4), np.float32), y=np.array([0, 2]), ids=("a.jpg", "b.jpg"), classes=("ape", "cat", "dog"),
    ...     splits=np.array(["", ""]), digests=np.zeros((2, 32), np.uint8), fingerprint=made, dataset="pets",
    ...     root=b"/pets", paths=(b"a.jpg", b"b.jpg"),
    ... )
    >>> part, notes = without_empty_classes(pets)
    >>> part.classes, part.y.tolist(), notes
    (('ape', 'dog'), [0, 1], ['1 class without any image took no part: cat.'])
    """
    counts = np.bincount(features.y, minlength=len(features.classes))
    if counts.all():
        return features, []
    names = [printable(features.classes[i]) for i in np.flatnonzero(counts == 0).tolist()]
    kept = np.flatnonzero(counts)
    classes = tuple(features.classes[i] for i in kept.tolist())
    part = dataclasses.replace(features, y=np.searchsorted(kept, features.y).astype(np.int64), classes=classes)
    return part, [empty_classes_text(names)]


def empty_classes_text(names: list[str]) -> str:
    """One sentence about classes that no image shows.

    Examples
    --------
    >>> empty_classes_text(["ape", "gnu"])
    '2 classes without any image took no part: ape and gnu.'
    """
    return f"{count(len(names), 'class', 'classes')} without any image took no part: {listing(names)}."
