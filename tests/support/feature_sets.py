"""FeatureSets for tests: real digits, or planted numbers, with a fingerprint that is not computed."""

import hashlib

import numpy as np
from sklearn.datasets import load_digits

from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint


def fingerprint(**changes):
    fields = {
        "backbone": "resnet18", "weights_sha256": "0" * 64, "node": "avgpool", "pool": "avg",
        "transform": {"crop": 224},
        "decode": {"version": 1}, "precision": "fp32", "weights": "random (seed 0)",
    }  # fmt: skip
    return Fingerprint(**{**fields, **changes})


def feature_set(X, y, *, splits=None, classes=None, ids=None, digests=None, dataset="planted", **changes):
    """A FeatureSet around plain arrays; every image has its own digest unless told otherwise."""
    n = len(y)
    ids = tuple(ids) if ids is not None else tuple(f"class{c}/{i:05d}.jpg" for i, c in enumerate(y))
    if digests is None:
        digests = np.stack([np.frombuffer(hashlib.sha256(b"%d" % i).digest(), np.uint8) for i in range(n)])
    return FeatureSet(
        X=np.asarray(X, dtype=np.float32),
        y=np.asarray(y, dtype=np.int64),
        ids=ids,
        classes=tuple(classes) if classes is not None else tuple(f"class{c}" for c in range(int(max(y)) + 1)),
        splits=np.asarray(splits if splits is not None else [""] * n, dtype=np.str_),
        digests=np.asarray(digests, dtype=np.uint8),
        fingerprint=fingerprint(**changes),
        dataset=dataset,
        root=b"/nowhere/at/all",
        paths=tuple(name.encode() for name in ids),
    )


def digits(n=600, classes=10, split=None, seed=0, **changes):
    """Real handwritten digits as a FeatureSet; `split` is the share of test images."""
    X, y = load_digits(return_X_y=True)
    keep = np.flatnonzero(y < classes)
    order = np.random.default_rng(seed).permutation(keep)[:n]
    splits = None
    if split is not None:
        splits = np.where(np.arange(len(order)) < round(split * len(order)), "test", "train")
    return feature_set(X[order], y[order], splits=splits, dataset="digits", **changes)


def copies(sources=120, each=4, classes=3, d=200, seed=0, noise=0.6, signal=0.6):
    """Augmented copies: `sources` pictures of a narrow domain, each several times with noise of its own.

    Returns X, y and the source of each row.
    """
    rng = np.random.default_rng(seed)
    y_source = np.arange(sources) % classes
    means = signal * rng.normal(size=(classes, d)) / np.sqrt(d) * 5
    pictures = means[y_source] + rng.normal(size=(sources, d))
    source = np.repeat(np.arange(sources), each)
    X = pictures[source] + noise * rng.normal(size=(len(source), d))
    order = rng.permutation(len(source))
    return X[order].astype(np.float32), y_source[source][order], source[order]
