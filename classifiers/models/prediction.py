"""Predictions: a bundle's classes and probabilities for image files, from decoding to CSV or JSON."""

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
from featstore.discovery.unlabelled import find_images
from featstore.errors import ImageSetError
from featstore.images.hashing import hash_files
from featstore.images.reading import Reading
from featstore.system.reporting import Progress, silent


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
    skipped : tuple of (str, str)
        Printable path and kind of everything else that lay there: what is no image that can be read.
    ids : tuple of n str, or ()
        What names each image in a table, where that is not its path.
    id_column : str
        What the first column of a table is called.
    notes : tuple of str
        What is to be said of the lists and archives that the images came from.
    engine_start : str
        How the engine started, see `featstore.engines.Engine`; "" where there is nothing to tell.

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
    skipped: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()
    id_column: str = "image"
    notes: tuple[str, ...] = ()
    engine_start: str = ""

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
        predictions: list[dict[str, Any]] = [
            {"image": image, "class": best[0][0], "probability": best[0][1], "top": [list(pair) for pair in best]}
            for image, best in zip(self.images, self.top(top), strict=True)
        ]
        for prediction, name in zip(predictions, self.ids, strict=False):
            prediction["id"] = name
        return {
            "format": 1,
            "predictions": predictions,
            "failed": [{"image": image, "reason": reason} for image, reason in self.failed],
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "notes": list(self.notes),
        }

    def write_csv(self, file: TextIO, top: int = 1, *, wide: bool = False, columns: Sequence[str] = ()) -> None:
        """Write one line an image: what names it, then class and probability of the best, the second, ...

        Parameters
        ----------
        file : text file
            Opened with newline="".
        top : int
            Classes listed for each image.
        wide : bool
            One column a class instead, with its probability.
        columns : sequence of str, optional
            Write two or three columns only, under these names: what names the image, its class, the probability. With
            `wide` it is one name, that of the first column.

        Raises
        ------
        ImageSetError
            Where two columns have one name.
        """
        if wide:
            header = [*(columns or (self.id_column,)), *self.classes]
        else:
            later = [name for i in range(2, min(top, len(self.classes)) + 1) for name in _best(i)]
            header = list(columns) or [self.id_column, "class", "probability", *later]
        double = next((name for name in header if header.count(name) > 1), None)
        if double is not None:
            raise ImageSetError(f"two columns are called {double!r}; call the others otherwise with `columns`")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        names = self.ids or self.images
        if wide:
            for name, proba in zip(names, self.proba.tolist(), strict=True):
                writer.writerow([name, *(f"{p:.9g}" for p in proba)])
            return
        for name, pairs in zip(names, self.top(top), strict=True):
            row = [name, *(value for label, p in pairs for value in (label, f"{p:.9g}"))]
            writer.writerow(row[: len(header)])


def _best(i: int) -> tuple[str, str]:
    return f"class_{i}", f"probability_{i}"


def predict_images(
    bundle: Bundle,
    places: Sequence[str | bytes | os.PathLike[str]],
    *,
    reading: Reading | None = None,
    id: str = "path",
    weights: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Classify images: decode, extract features as the bundle was trained on, predict.

    Parameters
    ----------
    bundle : Bundle
    places : sequence of path
        Image files; folders and archives, which are searched to the bottom; lists of images.
    reading : Reading, optional
        How lists are to be read.
    id : str
        What names an image in a table: its "path", its file's "name", that without the ending ("stem"), or a column of
        the list.
    weights : str or path, optional
        Where the network's weights are now, if not where they were.
    engine, device, batch_size, workers
        As for `featstore.extract.extract`; they do not change the answers beyond rounding.

    Returns
    -------
    Predictions
        In the order of `places`; files of a folder in byte order, those of a list in its order. An image that fails is
        listed with its reason and changes nothing for the others.

    Raises
    ------
    ImagesNotFoundError
        A place that does not exist, or nothing to classify.
    ImageSetError
        A list that cannot be read, or an `id` that two images share.
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
    found = find_images(places, reading, id=id)
    hashed = hash_files(found.addresses, lambda done, total: report("read", done, total, ""))
    reasons = [h.problem for h in hashed]
    readable = np.flatnonzero([not reason for reason in reasons])
    X = np.zeros((len(reasons), bundle.width), dtype=np.float32)

    said: list[str] = []
    items = [(found.addresses[row], hashed[row].digest) for row in readable]
    X[readable], why = network_features(
        bundle, items, weights=weights, engine=engine, device=device, batch_size=batch_size, workers=workers,
        progress=report, started=said.append,
    )  # fmt: skip
    for row, reason in zip(readable, why, strict=True):
        reasons[row] = reason

    names = found.names
    kept = np.flatnonzero([not reason for reason in reasons])
    failed = [(names[row], reason) for row, reason in enumerate(reasons) if reason]
    return Predictions(
        images=tuple(names[row] for row in kept),
        proba=bundle.predict_proba(X[kept]),
        classes=bundle.classes,
        failed=(*failed, *found.failed),
        skipped=found.skipped,
        notes=found.notes,
        engine_start="".join(said),
        ids=() if id == "path" else tuple(found.ids[row] for row in kept),
        id_column={"path": "image", "name": "id", "stem": "id"}.get(id, id),
    )
