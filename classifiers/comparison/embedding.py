"""A flat map of the features, for looking at."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from classifiers.comparison.evaluate import Run
from featstore.features import FeatureSet

MOST_IMAGES = 1000
"""Images that are placed at most: t-SNE takes about 1.5 seconds for so many, and more marks hide one another."""

_STEPS = 400


def flat_map(features: FeatureSet, run: Run, *, seed: int = 0) -> dict[str, Any] | None:
    """Place the judged images in two dimensions, near images near: t-SNE on 30 principal components.

    Parameters
    ----------
    features : FeatureSet
    run : Run
        What was judged, and the answers that are shown.
    seed : int
        Seed of the drawing of images, and of t-SNE.

    Returns
    -------
    dict or None
        method, image (rows), x, y, true, predicted; None for fewer than eight images or two directions.

    References
    ----------
    van der Maaten, L., Hinton, G. (2008). Visualizing data using t-SNE. JMLR 9.
    """
    right = run.right
    rows = np.array(sorted(right), dtype=np.int64)
    if len(rows) < 8:
        return None
    if len(rows) > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_IMAGES])
    X = features.X[rows].astype(np.float32)
    deviation = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(deviation > 1e-12, deviation, 1.0)
    components = min(30, len(rows) - 1, X.shape[1])
    if components < 2:
        return None
    reduced = PCA(components, random_state=seed).fit_transform(X)
    perplexity = min(30.0, (len(rows) - 1) / 4)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=seed, max_iter=_STEPS, n_jobs=None)
    placed = flat.fit_transform(reduced)
    predicted = {int(row): int(p) for row, p in zip(run.rows[::-1], run.proba.argmax(axis=1)[::-1], strict=True)}
    return {
        "method": f"t-SNE (perplexity {perplexity:g}) of {components} principal components",
        "image": rows.tolist(),
        "x": [round(float(v), 3) for v in placed[:, 0]],
        "y": [round(float(v), 3) for v in placed[:, 1]],
        "true": features.y[rows].tolist(),
        "predicted": [predicted[int(row)] for row in rows],
    }
