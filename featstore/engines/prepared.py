"""What an engine prepared, kept for the next start: a network as OpenVINO reads it, once it was found to be right.

With it a network runs on a CPU without torch: nothing is built, converted or compared again. An entry is named by what
its numbers depend on (the features' fingerprints, the machine, the settings) and used only with the versions of the
libraries that made it. Its bytes are sealed by their hash, and before its first use it has to give the bits on a check
image that it gave when it was made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.engines.devices import cpu_identity
from featstore.fingerprint import Fingerprint
from featstore.system.canonical_json import canonical_json
from featstore.system.user_cache import (
    CacheEntry,
    drop_entry,
    entry_path,
    keep_within,
    read_entry,
    renew_entry,
    write_entry,
)

KIND = "prepared"
"""Folder of the user's cache."""
FORMAT = 1
MOST_BYTES = 1 << 30
"""Of all entries together; those whose last use is longest ago go first. One alone may take half of it."""
_LIBRARIES = ("featstore", "numpy", "openvino", "torch", "torchvision")


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A network as OpenVINO reads it.

    Attributes
    ----------
    description : bytes
        The operations, XML.
    weights : ndarray of shape (n,), uint8
    request : int
        Images that it takes at once.
    widths : tuple of int
        Numbers an image, by output.
    provenance : mapping
        What else may change bits.
    """

    description: bytes
    weights: NDArray[np.uint8]
    request: int
    widths: tuple[int, ...]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class PreparedEngine:
    """A prepared model, and how it was chosen.

    Attributes
    ----------
    model : PreparedModel
    device : str
        The processor, as `describe` calls it.
    measured : bool
        Whether it was the fastest of several in a measurement, or the only one that there was.
    check : ndarray of shape (sum of widths,), float32
        What it makes of the first check image.
    """

    model: PreparedModel
    device: str
    measured: bool
    check: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Bytes that it takes, but for a short document."""
        return len(self.model.description) + self.model.weights.nbytes + self.check.nbytes


class PreparedPlace:
    """Where an engine's prepared model is kept, if it is.

    Parameters
    ----------
    fingerprints : sequence of Fingerprint
        Of the nodes, in their order.
    settings : mapping
        What was asked of the engine; JSON-able.

    Attributes
    ----------
    path : Path

    Examples
    --------
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {"crop": 224}, {}, "fp32", "IMAGENET1K_V2")
    >>> PreparedPlace([made], {"engine": "auto"}).load()
    (None, '')
    """

    def __init__(self, fingerprints: Sequence[Fingerprint], settings: Mapping[str, Any]) -> None:
        nodes = [fingerprint.keyed for fingerprint in fingerprints]
        self._identity = {"nodes": nodes, "settings": dict(settings), "cpu": cpu_identity()}
        self.path = entry_path(KIND, self._identity, ".model")

    def load(self) -> tuple[PreparedEngine | None, str]:
        """What is kept there.

        Returns
        -------
        engine : PreparedEngine or None
        reason : str
            Why what lies there was dropped; "" where nothing did, or where it can be used.
        """
        entry, reason = read_entry(self.path)
        if entry is None:
            return None, self.drop(reason) if reason else ""
        told = entry.document
        if told.get("format") != FORMAT:
            return None, self.drop(f"it has the format {told.get('format')!r}, expected {FORMAT}")
        try:
            for name, now in _versions().items():
                if (then := told["versions"].get(name)) != now:
                    return None, self.drop(f"it was made with {name} {then}, and {now} is installed")
            if told["identity"] != json.loads(canonical_json(self._identity)):
                return None, self.drop("it is that of another network, machine or engine")
            opened = _opened(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return None, self.drop(f"its parts do not fit together ({type(error).__name__})")
        renew_entry(self.path)
        return opened, ""

    def save(self, engine: PreparedEngine) -> str:
        """Keep an engine, and make room for it.

        Returns
        -------
        str
            Why it is not kept; "" where it is.
        """
        if engine.size > MOST_BYTES // 2:
            return f"it takes {engine.size / 2**20:,.0f} MiB, and at most {MOST_BYTES / 2**21:,.0f} are kept of one"
        model = engine.model
        document = {
            "format": FORMAT,
            "identity": self._identity,
            "versions": _versions(),
            "device": engine.device,
            "measured": engine.measured,
            "request": model.request,
            "widths": list(model.widths),
            "provenance": dict(model.provenance),
            "description_bytes": len(model.description),
        }
        body = [memoryview(model.description), engine.check.data.cast("B"), model.weights.data]
        if not write_entry(self.path, document, body):
            return f"{self.path.parent} cannot be written"
        keep_within(KIND, MOST_BYTES)
        return ""

    def drop(self, reason: str) -> str:
        """Delete what lies there, and say so."""
        drop_entry(self.path)
        return f"what an earlier start prepared in {self.path} is not used: {reason}"


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


def _opened(entry: CacheEntry) -> PreparedEngine:
    told, body = entry.document, entry.body
    widths = tuple(told["widths"])
    first = told["description_bytes"]
    second = first + 4 * sum(widths)
    weights = np.frombuffer(body[second:], dtype=np.uint8)
    model = PreparedModel(bytes(body[:first]), weights, told["request"], widths, told["provenance"])
    return PreparedEngine(model, told["device"], told["measured"], np.frombuffer(body[first:second], dtype=np.float32))
