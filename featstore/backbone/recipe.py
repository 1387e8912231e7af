"""The recipe of a backbone, from the fingerprint of its features: what predicting from images needs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from featstore.backbone.catalogue import BACKBONES
from featstore.fingerprint import Fingerprint
from featstore.system.user_cache import cache_folder

FORMAT = 1
"""Of the recipes that `featstore.backbone.Backbone.from_recipe` reads."""

_RANDOM = re.compile(r"random \(seed (\d+)\)")


def recipe_of(fingerprint: Fingerprint, weights: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The recipe of the network that makes features with a fingerprint.

    Parameters
    ----------
    fingerprint : Fingerprint
    weights : str or path, optional
        The weights file. Without it a file is looked for where `extract` last saw one with these tensors; a place that
        is not known stays empty, and is asked for when the network is built.

    Returns
    -------
    dict
        As `Backbone.recipe()`; JSON-able.
    """
    label = fingerprint.weights
    info = BACKBONES.get(fingerprint.backbone)
    seed = _RANDOM.fullmatch(label)
    named = info is not None and label in info.files
    kind = "random" if seed else "name" if named else "file"
    place = ""
    if kind == "file":
        found = Path(weights) if weights is not None else last_seen(fingerprint.weights_sha256)
        place = "" if found is None else str(found.resolve())
    return {
        "format": FORMAT,
        "backbone": fingerprint.backbone,
        "weights": {
            "kind": kind,
            "label": label,
            "sha256": fingerprint.weights_sha256,
            "name": label if named else "",
            "seed": int(seed[1]) if seed else 0,
            "path": place,
        },
        "nodes": [fingerprint.node],
        "pool": "avg" if fingerprint.pool == "none" else fingerprint.pool,
        "transform": fingerprint.transform,
    }


def last_seen(weights_sha256: str) -> Path | None:
    """Where `extract` last read weights with these tensors on this machine, if that file is still there.

    Only a place to look: whoever reads the file compares the tensors.
    """
    places = []
    for entry in (cache_folder() / "fingerprints").glob("*.json"):
        try:
            document = json.loads(entry.read_bytes())
            known = {f["weights_sha256"] for f in document["fingerprints"].values()}
            if weights_sha256 in known and document["path"] and Path(document["path"]).is_file():
                places.append((entry.stat().st_mtime_ns, Path(document["path"])))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a lost or damaged entry is no entry
    return max(places)[1] if places else None
