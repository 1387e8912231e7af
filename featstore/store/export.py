"""Features for other tools: NumPy files, one plain HDF5 file, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featstore.errors import OutputExistsError
from featstore.features import FeatureSet
from featstore.system import fsio
from featstore.system.canonical_json import canonical_json


def export(features: FeatureSet, out: Path, *, form: str = "npz", overwrite: bool = False) -> list[Path]:
    """Write a feature set in another format.

    Parameters
    ----------
    features : FeatureSet
    out : Path
        A file; for `npy` a folder, made where missing.
    form : {"npz", "npy", "h5", "csv"}
        `npz`: X, y, ids, classes, splits in one NumPy archive without pickles. `npy`: `features.npy`, `labels.npy`,
        `file_names.txt`, `classes.txt` and `fingerprint.json` in a folder. `h5`: one plain HDF5 file with the data sets
        `features`, `labels`, `ids`, `splits`, `classes`. `csv`: one line an image, `path,label,split,f0,f1,...`.
        Images without a label have -1 among the labels, and in CSV an empty cell.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputExistsError
        Something is there already.
    StoreWriteError
        The disk refuses.
    """
    files = {out if name == "" else out / name: data for name, data in FORMS[form](features).items()}
    for path in files:
        if path.exists() and not overwrite:
            raise OutputExistsError(f"{path} exists already; name another place or add `overwrite=True`")
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        fsio.replace(path, data)
    return list(files)


def _lines(texts: tuple[str, ...]) -> bytes:
    """One text a line; a line break inside one is written as an escape."""
    escaped = (text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") for text in texts)
    return "".join(f"{text}\n" for text in escaped).encode("utf-8", "surrogateescape")


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _as_npy(features: FeatureSet) -> dict[str, bytes]:
    return {
        "features.npy": _npy(features.X),
        "labels.npy": _npy(features.y),
        "file_names.txt": _lines(features.ids),
        "classes.txt": _lines(features.classes),
        "fingerprint.json": canonical_json(features.fingerprint.to_json()),
    }


def _as_npz(features: FeatureSet) -> dict[str, bytes]:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        X=features.X,
        y=features.y,
        ids=np.array(features.ids),
        classes=np.array(features.classes),
        splits=features.splits,
        fingerprint=np.array(canonical_json(features.fingerprint.to_json()).decode()),
    )
    return {"": buffer.getvalue()}


def _as_h5(features: FeatureSet) -> dict[str, bytes]:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("v110", "v110")) as file:
        file.attrs["fingerprint"] = canonical_json(features.fingerprint.to_json()).decode()
        file["features"] = features.X
        file["labels"] = features.y
        for name, texts in (
            ("ids", features.ids),
            ("classes", features.classes),
            ("splits", features.splits.tolist()),
        ):
            encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
            file[name] = np.array(encoded, dtype=f"S{max(map(len, encoded), default=1) or 1}")
    return {"": buffer.getvalue()}


def _as_csv(features: FeatureSet) -> dict[str, bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split", *(f"f{i}" for i in range(features.X.shape[1]))])
    for row, name in enumerate(features.ids):
        values = (repr(float(value)) for value in features.X[row])
        label = features.classes[features.y[row]] if features.y[row] >= 0 else ""
        writer.writerow([name, label, features.splits[row], *values])
    return {"": text.getvalue().encode("utf-8", "surrogateescape")}


FORMS: dict[str, Callable[[FeatureSet], dict[str, bytes]]] = {
    "npz": _as_npz,
    "npy": _as_npy,
    "h5": _as_h5,
    "csv": _as_csv,
}
