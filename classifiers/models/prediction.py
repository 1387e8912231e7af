"""Predictions: a bundle's classes and probabilities for image files, from decoding to CSV or JSON."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH109, PTH118

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from classifiers.models.bundle import Bundle
from classifiers.models.network_features import network_features
from featstore.images.hashing import hash_files
from featstore.images.unlabelled import find_images
from featstore.system.reporting import Progress, printable_path, silent


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier says about images.

    Attributes
    ----------
    images : tuple of n str
        Printable paths, as they were named.
    proba : ndarray of shape (n, k), float64
    classes : tuple of k str
    failed : tuple of (str, str)
        Printable path and reason of every image without a prediction.

    Examples
    --------
    >>> found = Predictions(("a.jpg",), np.array([[0.25, 0.75]]), ("ants", "bees"), ())
    >>> found.top()
    [[('bees', 0.75)]]
    """

    images: tuple[str, ...]
    proba: NDArray[np.float64]
    classes: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]

    def top(self, count: int = 1) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, best first, ties in the order of the classes.

        Parameters
        ----------
        count : int
            At most; there are never more than classes.
        """
        order = np.argsort(-self.proba, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[c], float(p[c])) for c in row] for row, p in zip(order.tolist(), self.proba, strict=True)
        ]

    def to_json(self, top: int = 1) -> dict[str, Any]:
        """The document that `predict --json` prints.

        Parameters
        ----------
        top : int
            Classes listed for each image.
        """
        predictions = [
            {"image": image, "class": best[0][0], "probability": best[0][1], "top": [list(pair) for pair in best]}
            for image, best in zip(self.images, self.top(top), strict=True)
        ]
        failed = [{"image": image, "reason": reason} for image, reason in self.failed]
        return {"format": 1, "predictions": predictions, "failed": failed}

    def write_csv(self, file: TextIO, top: int = 1) -> None:
        """Write one line an image: its path, then class and probability of the best, the second, ...

        Parameters
        ----------
        file : text file
            Opened with newline="".
        top : int
            Classes listed for each image.
        """
        best = self.top(top)
        width = min(top, len(self.classes))
        later = [name for i in range(2, width + 1) for name in (f"class_{i}", f"probability_{i}")]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "class", "probability", *later])
        for image, pairs in zip(self.images, best, strict=True):
            writer.writerow([image, *(value for name, p in pairs for value in (name, f"{p:.9g}"))])


def predict_images(
    bundle: Bundle,
    places: Sequence[str | bytes | os.PathLike[str]],
    *,
    weights: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Classify image files: decode, extract features as the bundle was trained on, predict.

    Parameters
    ----------
    bundle : Bundle
    places : sequence of path
        Image files, and folders that are searched to the bottom.
    weights : str or path, optional
        Where the network's weights are now, if not where they were.
    engine, device, batch_size, workers
        As for `featstore.extract.extract`; they do not change the answers beyond rounding.

    Returns
    -------
    Predictions
        In the order of `places`, files of a folder in byte order. An image that fails is listed with its reason and
        changes nothing for the others.

    Raises
    ------
    ImagesNotFoundError
        A place that does not exist, or nothing to classify.
    WeightsError, FingerprintMismatchError
        The network is not that of the bundle.
    DeviceError

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from classifiers import make_head, save_bundle
    >>> from featstore.backbone import Backbone
    >>> backbone = Backbone("mobilenet_v3_small", "none", nodes=("features.0",), input_size=32)
    >>> ((_, fingerprint),) = backbone.fingerprints().items()
    >>> y = np.repeat([0, 1], 20)
    >>> X = np.random.default_rng(0).normal(size=(40, 16)) + y[:, None]
    >>> head = make_head("logistic", budget="quick", cv=2).fit(X, y)
    >>> path = tempfile.mkdtemp() + "/bees.bundle"
    >>> bundle = save_bundle(path, head, fingerprint, backbone.recipe(), ("ants", "bees"), name="logistic")
    >>> from PIL import Image
    >>> Image.new("RGB", (40, 40)).save(path + ".png")
    >>> predict_images(bundle, [path + ".png"], engine="eager", workers=0).proba.shape
    (1, 2)
    """
    report = progress or silent
    found = find_images(places)
    hashed = hash_files(found.paths, lambda done, total: report("read", done, total, ""))
    reasons = [h.problem for h in hashed]
    readable = np.flatnonzero([not reason for reason in reasons])
    X = np.zeros((len(reasons), bundle.width), dtype=np.float32)

    here = os.getcwdb()
    items = [(os.path.join(here, found.paths[row]), hashed[row].digest) for row in readable]
    X[readable], why = network_features(
        bundle, items, weights=weights, engine=engine, device=device, batch_size=batch_size, workers=workers,
        progress=report,
    )  # fmt: skip
    for row, reason in zip(readable, why, strict=True):
        reasons[row] = reason

    names = [printable_path(path) for path in found.paths]
    kept = np.flatnonzero([not reason for reason in reasons])
    failed = [(names[row], reason) for row, reason in enumerate(reasons) if reason]
    return Predictions(
        images=tuple(names[row] for row in kept),
        proba=bundle.predict_proba(X[kept]),
        classes=bundle.classes,
        failed=(*failed, *found.skipped),
    )
