"""Which way of running a network is fastest here: measured once, kept by machine, network and versions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.engines.runner import Runner, run_with_halving
from featstore.system.canonical_json import canonical_json
from featstore.system.user_cache import entry_path, read_entry, write_entry

FORMAT = 1
_KIND = "calibration"
MARGIN = 1.1
"""The usual choice stays unless another is faster by this factor: noise must not change what runs."""
MAX_IMAGES = 256
"""Images that are measured together, at most: a rate shows on fewer than a user may hand over."""
HOPELESS = 2.0
"""A runner slower than another by this factor on its first batch is not measured again."""


def load_choice(identity: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The choice that was saved for the same identity, where it is one of `names`. A damaged entry counts as none.

    Parameters
    ----------
    identity : mapping
        Everything that the speed depends on; JSON-able.
    """
    entry, _ = read_entry(entry_path(_KIND, identity))
    if entry is None:
        return None
    found = entry.document
    known = found.get("format") == FORMAT and found.get("identity") == json.loads(canonical_json(identity))
    return str(found["choice"]) if known and found.get("choice") in names else None


def save_choice(identity: Mapping[str, Any], choice: str, rates: Mapping[str, float]) -> None:
    """Keep a choice and the images a second it rests on; a cache that cannot be written is no failure."""
    entry = {"format": FORMAT, "identity": identity, "choice": choice, "images_per_second": rates}
    write_entry(entry_path(_KIND, identity), entry)


def measure(runners: Mapping[str, Runner], side: int, *, seconds: float = 0.3) -> dict[str, float]:
    """Images a second of each runner.

    One batch each shows which are out of the race; the others run three rounds in turn, so that a busy moment of the
    machine hits all of them, and the best round counts.

    Parameters
    ----------
    runners : mapping of str to Runner
        Prepared.
    side : int
        Of the images, pixels.
    seconds : float
        About how long a round lasts.
    """
    sizes = {name: min(runner.batch_size, MAX_IMAGES) for name, runner in runners.items()}
    batches = {name: np.zeros((sizes[name], side, side, 3), np.uint8) for name, runner in runners.items()}
    rates = {name: _rate(runner, batches[name], 1) for name, runner in runners.items()}
    close = [name for name in runners if rates[name] * HOPELESS > max(rates.values())]
    for _ in range(3 if len(close) > 1 else 0):
        for name in close:
            repeats = max(1, math.ceil(seconds * rates[name] / len(batches[name])))
            rates[name] = max(rates[name], _rate(runners[name], batches[name], repeats))
    return rates


def pick(rates: Mapping[str, float], usual: str) -> str:
    """The fastest, or the usual one where that is about as fast."""
    fastest = max(rates, key=lambda name: rates[name])
    return fastest if rates[fastest] > MARGIN * rates[usual] else usual


def _rate(runner: Runner, images: NDArray[np.uint8], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        run_with_halving(runner, images)
    return repeats * len(images) / max(time.perf_counter() - began, 1e-9)
