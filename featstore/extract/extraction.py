"""Extraction: what one run of `extract` found and did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from featstore.fingerprint import Fingerprint


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What one run found and did.

    `computed` and `cached` count images (rows of the image set), failed ones included; `waiting` is the share of the
    time, in [0, 1], that the network stood idle for want of decoded images; `seconds` covers the whole call; `found` is
    what `featstore.discovery.found_json` says of the image set; `remarks` are (path, text) of images that were computed
    now and of which there is something to know: deep samples that stay dark, the first of several pages, a file that is
    cut short; `weights_record` tells how the weights file was read, `engine_start` how the engine started (see
    `featstore.engines.Engine`); both are "" where there is nothing to tell.

    Examples
    --------
    >>> run = Extraction("pets", 3, 2, 1, (), 4.0, 0.5, 0.1, 1.0, (), {"engine": "eager"})
    >>> run.to_json()["computed"], run.to_json()["cached"]
    (2, 1)
    """

    dataset: str
    images: int
    computed: int
    cached: int
    failed: tuple[tuple[str, str], ...]
    seconds: float
    images_per_second: float
    waiting: float
    preparation_seconds: float
    features: tuple[tuple[Fingerprint, int], ...]
    provenance: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    found: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    remarks: tuple[tuple[str, str], ...] = ()
    weights_record: str = ""
    engine_start: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document that `extract --json` prints."""
        return {
            "format": 1,
            "dataset": self.dataset,
            "images": self.images,
            "computed": self.computed,
            "cached": self.cached,
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images_per_second, 2),
            "waiting_for_data": round(self.waiting, 3),
            "preparation_seconds": round(self.preparation_seconds, 3),
            "features": [
                {
                    "key": f.key,
                    "node": f.node,
                    "dim": dim,
                    "backbone": f.backbone,
                    "pool": f.pool,
                    "weights": f.weights,
                    "precision": f.precision,
                    "store_dtype": f.store_dtype,
                    "input": f.input,
                }
                for f, dim in self.features
            ],
            "provenance": dict(self.provenance),
            "notes": list(self.notes),
            "found": dict(self.found),
            "remarks": [{"path": path, "text": text} for path, text in self.remarks],
        }
