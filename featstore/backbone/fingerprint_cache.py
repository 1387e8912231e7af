"""A cache of what a network's features are: fingerprints and widths, read without loading torch.

Hashing a network's tensors needs torch and a second or two; a repeated extraction needs neither. The answer of the last
time is kept in the user's cache folder and used only while nothing that it depends on has changed: the request, the
library versions, the decode rules, and the weights file (size, modification and change time, inode). A lost or damaged
entry costs one rebuild.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from featstore.backbone.catalogue import lookup
from featstore.decoding.pixels import decode
from featstore.fingerprint import Fingerprint
from featstore.system.canonical_json import canonical_json
from featstore.system.user_cache import cache_folder, entry_path, read_entry, write_entry

FOLDER = "fingerprints"
"""Of the user's cache folder."""


@dataclasses.dataclass(frozen=True)
class FeatureSpecs:
    """What a network's features are: fingerprints and numbers an image, by node.

    `weights_note` and `weights_record` are what is told about the weights, see `featstore.backbone.weights.Weights`.
    """

    fingerprints: dict[str, Fingerprint]
    widths: dict[str, int]
    weights_note: str = ""
    weights_record: str = ""


def load_feature_specs(backbone: str, precision: str, request: Mapping[str, Any]) -> FeatureSpecs | None:
    """What `save_feature_specs` kept for the same request, or None where anything it depends on has changed.

    Parameters
    ----------
    backbone : str
        Name of the network.
    precision : {"fp32", "bf16", "fp16"}
    request : mapping
        The arguments that the network would be built from, JSON-able.
    """
    try:
        kept, _ = read_entry(_place(backbone, precision, request))
        if kept is None:
            return None
        entry = kept.document
        if entry["file"] != _identity(entry["path"]):
            return None
        fingerprints = {node: Fingerprint.from_json(entry["fingerprints"][node]) for node in entry["nodes"]}
        widths = {node: int(entry["widths"][node]) for node in fingerprints}
        return FeatureSpecs(fingerprints, widths, str(entry["weights_note"]), str(entry["weights_record"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # no entry, or one that cannot be read: the network itself will say


def find_feature_specs(fingerprint: Fingerprint, weights: Path | None) -> FeatureSpecs | None:
    """What is known of features at one node from any request that was kept, or None.

    Parameters
    ----------
    fingerprint : Fingerprint
    weights : Path or None
        The weights file that is to be used; None for random weights.
    """
    place = None if weights is None else str(weights)
    if fingerprint.decode != json.loads(canonical_json(decode.RULES)):
        return None  # of another version
    for path in sorted((cache_folder() / FOLDER).glob("*.json")):
        try:
            entry, _ = read_entry(path)
            if entry is None or entry.document["versions"] != _versions():
                continue
            if not _one_file(entry.document["path"], place):
                continue
            told = entry.document
            for node, document in told["fingerprints"].items():
                if Fingerprint.from_json(document) == fingerprint and told["file"] == _identity(place):
                    record = str(told["weights_note"]), str(told["weights_record"])
                    return FeatureSpecs({node: fingerprint}, {node: int(told["widths"][node])}, *record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # an entry that cannot be read is none
    return None


def save_feature_specs(
    backbone: str, precision: str, request: Mapping[str, Any], known: FeatureSpecs, path: Path | None
) -> None:
    """Keep the answer for next time; a cache folder that cannot be written is no failure.

    Parameters
    ----------
    path : Path or None
        The weights file that the answer depends on.
    """
    # Not where a link leads to now: when it leads elsewhere, what it leads to is another file.
    absolute = None if path is None else str(Path(path).absolute())
    entry = {
        "path": absolute,
        "versions": _versions(),
        "file": _identity(absolute),
        "nodes": list(known.fingerprints),
        "fingerprints": {node: f.to_json() for node, f in known.fingerprints.items()},
        "widths": known.widths,
        "weights_note": known.weights_note,
        "weights_record": known.weights_record,
    }
    write_entry(_place(backbone, precision, request), entry)


def _place(backbone: str, precision: str, request: Mapping[str, Any]) -> Path:
    weights = str(request.get("weights", ""))
    anywhere = weights in ("auto", "none", *lookup(backbone).files) or Path(weights).is_absolute()
    depends = {
        "backbone": backbone,
        "precision": precision,
        "request": {k: list(v) if isinstance(v, tuple) else v for k, v in request.items()},
        "folder": "" if anywhere else str(Path.cwd()),
        "torch_home": os.environ.get("TORCH_HOME", ""),
        "versions": _versions(),
        "decode": decode.RULES,
    }
    return entry_path(FOLDER, depends)


def _one_file(kept: str | None, asked: str | None) -> bool:
    """Whether two paths lead to one file; None is the absence of a file."""
    return kept == asked if kept is None or asked is None else Path(kept).resolve() == Path(asked).resolve()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("featstore", "torch", "torchvision", "pillow")}


def _identity(path: str | None) -> list[int] | None:
    """What changes when a file does. Change time and inode cannot be set back as a modification time can."""
    if path is None:
        return None
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
