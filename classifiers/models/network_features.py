"""The features that a bundle's network makes of image files, without a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from classifiers.models.bundle import Bundle
from featstore.sources.address import reading_order
from featstore.system.machine import usable_cores
from featstore.system.reporting import Progress


def network_features(
    bundle: Bundle,
    items: Sequence[tuple[bytes, bytes]],
    *,
    weights: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress,
    started: Callable[[str], None] | None = None,
) -> tuple[NDArray[np.float32], list[str]]:
    """Decode image files and run the bundle's network on them, as on those that its head was trained on.

    Parameters
    ----------
    bundle : Bundle
    items : sequence of (address, digest)
        Where each file's bytes are, and their SHA-256.
    weights, engine, device, batch_size, workers
        As for `predict_images`.
    progress : callable
        `progress("prepare", ...)` while the network is built, then `progress("predict", done, total, "")`.
    started : callable, optional
        Called with how the engine started, for people: see `Engine.start`.

    Returns
    -------
    X : ndarray of shape (n, bundle.width), float32
        Zeros for an image that failed.
    reasons : list of n str
        "" or why an image failed.

    Raises
    ------
    WeightsError, FingerprintMismatchError
        The network is not that of the bundle.
    DeviceError
    """
    from classifiers.models.bundle_network import bundle_network
    from featstore.decoding.nvjpeg_pool import open_pool
    from featstore.engines.devices import find_device
    from featstore.engines.factory import make_engine

    X = np.zeros((len(items), bundle.width), dtype=np.float32)
    reasons = [""] * len(items)
    if not items:
        return X, reasons
    there = find_device(device)
    network = bundle_network(bundle, weights)
    node = bundle.fingerprint.node
    order = reading_order([address for address, _ in items])
    rows = np.arange(len(items)) if order is None else np.array(order)  # containers are read from front to back
    workers = min(usable_cores(), len(items)) if workers is None else workers
    progress("prepare", 0, 1, "building the engine")
    runs = make_engine(
        network,
        engine=engine,
        device=there,
        precision=bundle.fingerprint.precision,
        batch_size=batch_size,
        expected_rows=len(items),
    )
    with closing(runs), open_pool(network.transform, there, workers=workers) as pool:
        batches = iter(pool.run([items[row] for row in rows.tolist()], runs.usual_batch_size))
        runs.prepare()  # while the first images are decoded
        if started is not None:
            started(runs.start)
        progress("prepare", 1, 1, "")
        for batch in batches:
            at = rows[batch.start : batch.start + len(batch.status)]
            good = batch.status == 0
            if good.any():
                X[at[good]] = runs.run(batch.images[good])[node]
            for offset in np.flatnonzero(~good).tolist():
                reasons[at[offset]] = str(batch.reasons[offset])
            progress("predict", batch.start + len(at), len(items), "")
    if bundle.fingerprint.rounded:  # as the features were that the head was trained on
        with np.errstate(over="ignore"):
            X = X.astype(np.float16).astype(np.float32)
        for row in np.flatnonzero(~np.isfinite(X).all(axis=1)).tolist():
            X[row], reasons[row] = 0, reasons[row] or "a feature does not fit into fp16, which its classifier needs"
    return X, reasons
