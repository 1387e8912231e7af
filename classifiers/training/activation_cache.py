"""ActivationCache: the values of a frozen bottom at its cut, computed once and kept in the store.

A folder `activations/<key>` in the store; `key` is the hash of everything that changes the values. Files are immutable,
named by their content, and carry their own hash. Each holds one view of some images as float16; a row's key is the
digest of the image's bytes, so other images can be added later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.models import tensor_file
from featstore.errors import FeatstoreError, StoreDamagedError, StoreNotFoundError
from featstore.system import fsio, fsread
from featstore.system.canonical_json import canonical_json

FORMAT = tensor_file.FileFormat(
    "activation file", 1, StoreDamagedError, StoreNotFoundError, "delete it; it is made again"
)
FOLDER = "activations"
LARGEST = float(np.finfo(np.float16).max)


class ActivationCache:
    """Values at a cut, by view and image.

    Parameters
    ----------
    store : Path
        Folder of the feature store.
    recipe : mapping
        JSON-able: network, hash of its weights, cut, transform, decode rules, augmentation, seed.
    """

    def __init__(self, store: Path, recipe: Mapping[str, Any]) -> None:
        self.recipe = dict(recipe)
        self.key = hashlib.sha256(canonical_json(self.recipe)).hexdigest()[:16]
        self._store = store
        self.folder = store / FOLDER / self.key
        self._parts: list[NDArray[np.float16]] = []
        self._where: dict[tuple[int, bytes], tuple[int, int]] = {}
        self._read: set[str] = set()
        self._damaged: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Take in files that were added since. A damaged one is left out: its rows are missing and are made again."""
        for name in fsread.list_files(self.folder):
            if not name.endswith(".safetensors") or name in self._read:
                continue
            self._read.add(name)
            try:
                document, arrays = tensor_file.read(self.folder / name, FORMAT)
            except FeatstoreError:
                self._damaged.add(name)
                continue
            if document.get("recipe") == self.recipe and _fits(document, arrays):
                self._take(int(document["view"]), arrays["digests"], arrays["values"])

    def missing(self, view: int, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where a view of an image is not there yet.

        Parameters
        ----------
        digests : ndarray of shape (n, 32), uint8

        Returns
        -------
        ndarray of shape (n,), bool
        """
        return np.array([(view, digest.tobytes()) not in self._where for digest in digests], dtype=bool)

    def add(self, view: int, digests: NDArray[np.uint8], values: NDArray[np.floating]) -> None:
        """Keep values of one view.

        Parameters
        ----------
        digests : ndarray of shape (m, 32), uint8
        values : ndarray of shape (m, ...), float
            Kept as float16; what float16 cannot hold is clipped.

        Raises
        ------
        StoreWriteError
            The disk refuses.
        """
        half = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
        document = {"recipe": self.recipe, "view": view}
        parts, digest = tensor_file.encode(FORMAT, document, {"digests": digests, "values": half})
        tmp = self._store / "tmp"
        for folder in (tmp, self.folder):
            fsio.make_directory(folder, below=self._store)
        name = f"{digest}.safetensors"
        if name in self._damaged:
            fsio.replace(self.folder / name, parts)
            self._damaged.discard(name)
        else:
            fsio.publish(self.folder / name, parts, tmp=tmp, by_content=True)
        self._read.add(name)
        self._take(view, digests, half)

    def rows(self, view: int, digests: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Values of one view, in the order of `digests`.

        Returns
        -------
        ndarray of shape (n, ...), float16

        Raises
        ------
        KeyError
            Where one is missing.
        """
        places = [self._where[view, digest.tobytes()] for digest in digests]
        first, _ = places[0]
        values = np.empty((len(places), *self._parts[first].shape[1:]), dtype=np.float16)
        for i, (part, row) in enumerate(places):
            values[i] = self._parts[part][row]
        return values

    def _take(self, view: int, digests: NDArray[np.uint8], values: NDArray[np.float16]) -> None:
        if self._parts and self._parts[0].shape[1:] != values.shape[1:]:
            return
        for row, digest in enumerate(digests):
            self._where.setdefault((view, digest.tobytes()), (len(self._parts), row))
        self._parts.append(values)


def _fits(document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bool:
    if set(arrays) != {"digests", "values"} or type(document.get("view")) is not int:
        return False
    digests, values = arrays["digests"], arrays["values"]
    return (
        digests.dtype == np.uint8
        and digests.shape == (len(values), 32)
        and values.dtype == np.float16
        and values.ndim > 1
        and bool(np.isfinite(values).all())
    )
