"""The images of a data set that a classifier is judged on."""

from __future__ import annotations

import numpy as np

from classifiers.network import ImageClassifier
from featstore.errors import UnknownNameError
from featstore.imageset import ImageSet


def judged_rows(
    images: ImageSet, classifier: ImageClassifier, limit: int | None = None, seed: int = 0
) -> tuple[list[int], list[int], str]:
    """The test part of a data set.

    Parameters
    ----------
    images : ImageSet
    classifier : ImageClassifier
        Must know every class of the part by its name.
    limit : int, optional
        Images at most, drawn by `seed`.

    Returns
    -------
    rows : list of int
        Of `images`: its "test" part, else its "val" part, else everything.
    labels : list of int
        Index of each row's class among the classifier's.
    part : str
        In words.

    Raises
    ------
    UnknownNameError
    """
    parts = [split for split in ("test", "val") if (images.splits == split).any()]
    rows = np.flatnonzero(images.splits == parts[0]) if parts else np.arange(len(images))
    where = f"the {parts[0]} part" if parts else "the whole set, as it has no test part"
    part = f"the {len(rows)} images of {where}"
    if limit is not None and limit < len(rows):
        part = f"{limit} of {part}"
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    index = {}
    for label in np.unique(images.labels[rows]).tolist():
        name = images.classes[label]
        if name not in classifier.classes:
            hint = f"it is one of {images.name}'s, all of which the classifier must know: use a bundle trained on them"
            raise UnknownNameError("class", name, classifier.classes, hint)
        index[label] = classifier.index(name)
    return rows.tolist(), [index[label] for label in images.labels[rows].tolist()], part
