"""The recipe of a backbone: what is needed to build the same network again, as plain JSON values."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featstore.backbone.catalogue import BACKBONES
from featstore.backbone.fingerprint_cache import FOLDER
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import FingerprintMismatchError
from featstore.fingerprint import Fingerprint
from featstore.system.user_cache import cache_folder

FORMAT = 1
"""Of recipes."""

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


def read_recipe(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """The arguments of `Backbone` in a recipe, and the hash and label of its weights.

    Raises
    ------
    FingerprintMismatchError
        The recipe is malformed or of another format.
    """
    try:
        if recipe["format"] != FORMAT:
            raise FingerprintMismatchError(
                f"the backbone recipe has format {recipe['format']!r}, not {FORMAT}; update featstore"
            )
        wanted = recipe["weights"]
        settings = {
            "name": str(recipe["backbone"]),
            "weights": {"name": wanted["name"], "file": Path(wanted["path"]), "random": "none"}[wanted["kind"]],
            "nodes": tuple(map(str, recipe["nodes"])),
            "pool": str(recipe["pool"]),
            "seed": int(wanted["seed"]),
            "transform": TransformSpec.from_json(recipe["transform"]),
        }
        return settings, str(wanted["sha256"]), str(wanted["label"])
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, FingerprintMismatchError):
            raise
        raise FingerprintMismatchError(f"this is no backbone recipe: {type(error).__name__} {error}") from error


def gone(recipe: Mapping[str, Any], who: str) -> str:
    """What to say of the weights file in a recipe that is not there any more; "" where it is there, or none is needed.

    Parameters
    ----------
    recipe : mapping
        One that `read_recipe` takes.
    who : str
        What holds the recipe, for the sentence.
    """
    wanted = recipe["weights"]
    if wanted["kind"] != "file" or not wanted["path"] or Path(wanted["path"]).exists():
        return ""
    what = f"{wanted['label']!r} of {recipe['backbone']} (SHA-256 {str(wanted['sha256'])[:12]}...)"
    again = f"; they came from {wanted['url']}" if wanted.get("url") else ""
    return (
        f"the weights file {wanted['path']} does not exist: there {who} remembers the weights {what}; say where they "
        f'are now with `weights="FILE"`{again}'
    )


def last_seen(weights_sha256: str) -> Path | None:
    """Where `extract` last read weights with these tensors on this machine, if that file is still there.

    Only a place to look: whoever reads the file compares the tensors.
    """
    places = []
    for entry in (cache_folder() / FOLDER).glob("*.json"):
        try:
            document = json.loads(entry.read_bytes())
            known = {f["weights_sha256"] for f in document["fingerprints"].values()}
            if weights_sha256 in known and document["path"] and Path(document["path"]).is_file():
                places.append((entry.stat().st_mtime_ns, Path(document["path"])))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a lost or damaged entry is no entry
    return max(places)[1] if places else None
