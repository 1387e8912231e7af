"""FeatureSource: a whole data set whose features are looked at in chunks."""

from __future__ import annotations

import numpy as np

from featstore.features import FeatureSet
from featstore.store.feature_stream import FeatureStream

FeatureSource = FeatureStream | FeatureSet
"""Rows in chunks, and everything else at once."""


def without_features(features: FeatureSource) -> FeatureSet:
    """Everything but the features: a feature set whose `X` has no columns.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> pets = FeatureSet(
    ...     X=np.ones((2, 4), np.float32), y=np.array([0, 1]), ids=("a.jpg", "b.jpg"), classes=("cat", "dog"),
    ...     splits=np.array(["", ""]), digests=np.zeros((2, 32), np.uint8), fingerprint=made, dataset="pets",
    ...     root=b"/pets", paths=(b"a.jpg", b"b.jpg"),
    ... )
    >>> without_features(pets).X.shape
    (2, 0)
    """
    return FeatureSet(
        X=np.empty((len(features), 0), dtype=np.float32), y=features.y, ids=features.ids, classes=features.classes,
        splits=features.splits, digests=features.digests, fingerprint=features.fingerprint, dataset=features.dataset,
        root=features.root, paths=features.paths, failed=features.failed, groups=features.groups, about=features.about,
    )  # fmt: skip
