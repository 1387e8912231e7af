"""RowWriter: gathers rows into shards and commits them from a thread of its own, while the network goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featstore.fingerprint import Fingerprint
from featstore.store.feature_store import FeatureStore
from featstore.store.format.rows import Rows
from featstore.store.tables.layout import SHARD_BYTES, SHARD_ROWS

SECONDS_A_SHARD = 20.0


class RowWriter:
    """Commits rows in the background, at most `SHARD_ROWS` rows, 256 MiB or 20 seconds of work at a time.

    Leaving the `with` block commits what is left, also when it is left by Ctrl-C; a failed commit is raised by the next
    call.

    Parameters
    ----------
    store : FeatureStore
    fingerprints : mapping of node to Fingerprint
    widths : mapping of node to int
        Numbers a row.
    provenance : mapping
        How the rows are computed; recorded with every shard.

    Attributes
    ----------
    provenance : mapping
        Of the rows that are added from now on; `flush` before it is replaced.
    """

    def __init__(
        self,
        store: FeatureStore,
        fingerprints: Mapping[str, Fingerprint],
        widths: Mapping[str, int],
        provenance: Mapping[str, Any],
    ) -> None:
        self._store = store
        self._fingerprints = fingerprints
        self._widths = widths
        self.provenance = provenance
        self._gathered: dict[str, list[Rows]] = {node: [] for node in fingerprints}
        self._count = 0
        self._bytes = 0
        self._since = time.monotonic()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="featstore-writer")
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
            self._settle(0)
        finally:
            self._thread.shutdown(wait=True)

    def add(
        self,
        digests: NDArray[np.uint8],
        status: NDArray[np.uint8],
        reasons: Sequence[str],
        outputs: Mapping[str, NDArray[np.float32]],
        wanted: Mapping[str, NDArray[np.bool_]],
    ) -> None:
        """Take one batch.

        Parameters
        ----------
        digests : ndarray of shape (b, 32), uint8
        status : ndarray of shape (b,), uint8
            0 decoded, 1 failed, 2 failed for a passing reason, 3 the file changed (never stored).
        reasons : sequence of b str
        outputs : mapping of node to ndarray of shape (number of rows with status 0, d), float32
        wanted : mapping of node to ndarray of shape (b,), bool
            Rows that the node's feature set lacks.
        """
        good = status == 0
        for node, mask in wanted.items():
            keep = mask & (status != 3)
            if not keep.any():
                continue
            X = np.zeros((len(status), self._widths[node]), dtype=np.float32)  # a failed row stays zeros
            if good.any():
                X[good] = outputs[node]
            kept = tuple(reason for reason, k in zip(reasons, keep, strict=True) if k)
            self._gathered[node].append(Rows(digests=digests[keep], X=X[keep], status=status[keep], reasons=kept))
            self._bytes += X.nbytes
        self._count += len(status)
        full = self._count >= SHARD_ROWS or self._bytes >= SHARD_BYTES
        if full or time.monotonic() - self._since > SECONDS_A_SHARD:
            self.flush()

    def flush(self) -> None:
        """Hand what is gathered to the writer thread."""
        for node, parts in self._gathered.items():
            if parts:
                self._settle(1)
                self._pending.append(self._thread.submit(self._commit, node, parts, dict(self.provenance)))
        self._gathered = {node: [] for node in self._fingerprints}
        self._count = self._bytes = 0
        self._since = time.monotonic()

    def _commit(self, node: str, parts: list[Rows], provenance: Mapping[str, Any]) -> None:
        rows = Rows(
            digests=np.concatenate([part.digests for part in parts]),
            X=np.concatenate([part.X for part in parts]),
            status=np.concatenate([part.status for part in parts]),
            reasons=tuple(reason for part in parts for reason in part.reasons),
        )
        self._store.commit(self._fingerprints[node], rows, provenance)

    def _settle(self, allowed: int) -> None:
        """Wait until at most `allowed` commits are under way: bounded memory, and errors surface."""
        while len(self._pending) > allowed:
            self._pending.pop(0).result()
