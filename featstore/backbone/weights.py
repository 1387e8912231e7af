"""Weights of a backbone: from torch's download folder, the network, a file, or seeded random ones."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

import torch
from torch import Tensor
from torchvision.models import get_model_weights

from featstore.backbone.architecture import NetworkHead, match_state_dict, random_state_dict
from featstore.backbone.catalogue import BackboneInfo, lookup
from featstore.backbone.weights_file import is_fine_tuned, read_state
from featstore.errors import DownloadError, UnknownNameError, WeightsError, WeightsNotFoundError
from featstore.fingerprint import TUNED
from featstore.sources.remote import download_of, fetched, is_url, promises_hash
from featstore.system.download import fetch
from featstore.system.reporting import StageProgress, argument

SUFFIXES = (".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".tar")
"""An argument that ends so is meant as a file, also where there is none."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A network's tensors and where they came from.

    Attributes
    ----------
    state : dict of str to Tensor
        As the network holds them: float32, counters int64, on the CPU. Empty once a network has taken them.
    label : str
        For people: "IMAGENET1K_V2", "file x.pth", "fine-tuned x.weights.safetensors" or "random (seed 0)".
    sha256 : str
        64 hexadecimal digits, `state_dict_sha256` of the state.
    path : Path or None
        The file; None for random weights.
    kind : {"name", "file", "random"}
    name : str
        Member of torchvision's weights enum; "" for others.
    seed : int
        Of random weights.
    head : NetworkHead
        How the network ends.
    note : str
        What people should know about the file: which of several copies was taken, names that were matched otherwise
        than by a prefix, what was left out. "" for nothing.
    record : str
        The same in full, with the prefix of the names and the places that were left; "" for a file that is the
        network's state dict and nothing else.
    url : str
        Where the file was downloaded from; "" for others.

    Examples
    --------
    >>> Weights({}, "IMAGENET1K_V1", "0" * 64, None, "name", "IMAGENET1K_V1").head.classes
    1000
    """

    state: dict[str, Tensor]
    label: str
    sha256: str
    path: Path | None
    kind: str
    name: str = ""
    seed: int = 0
    head: NetworkHead = field(default_factory=NetworkHead)
    note: str = ""
    record: str = ""
    url: str = ""


def load_weights(
    backbone: str,
    weights: str | os.PathLike[str] = "auto",
    *,
    seed: int = 0,
    timeout: float = 10.0,
    progress: StageProgress | None = None,
) -> Weights:
    """Find, check and load the weights of a backbone.

    Parameters
    ----------
    backbone : str
        One of `catalogue.BACKBONES`.
    weights : str or path
        "auto": torchvision's default, from torch's download folder or downloaded to it; "none": torchvision's
        initialisation with `seed`; a member of torchvision's weights enum; a .pth or .safetensors file; or the URL of
        one, which is downloaded once, see `featstore.sources.remote.fetched`.
    timeout : float
        Seconds that a download server may stay silent.
    progress : callable, optional
        Called with the bytes done and the bytes in all while downloading.

    Raises
    ------
    UnknownNameError
        No such backbone or weights; with close matches.
    WeightsNotFoundError
        The file does not exist, or is neither on this machine nor reachable.
    WeightsError
        The file is damaged, of another architecture, has another hash than its name promises, or would run code.

    Examples
    --------
    >>> weights = load_weights("resnet18", "none", seed=1)
    >>> weights.label, tuple(weights.state["conv1.weight"].shape)
    ('random (seed 1)', (64, 3, 7, 7))
    """
    info = lookup(backbone)
    if weights == "none":
        state = random_state_dict(backbone, seed)
        return Weights(state, f"random (seed {seed})", state_dict_sha256(state), None, "random", seed=seed)
    name = info.default_weights if weights == "auto" else str(weights)
    url = ""
    if isinstance(weights, str) and name in info.files:
        path = _pretrained(info, name, timeout, progress)
        label, kind = name, "name"
    elif isinstance(weights, str) and is_url(weights):
        path, url = _downloaded(weights, timeout, progress), weights
        name, label, kind = "", f"file {path.name}", "file"
    elif _is_file(weights):
        path = Path(weights)
        name, label, kind = "", f"file {path.name}", "file"
    else:
        raise UnknownNameError(
            f"weights of {backbone}",
            name,
            ("auto", "none", *info.files),
            f"`weights` takes auto, none, {', '.join(info.files)}, a .pth or .safetensors file, or a URL",
        )
    state, head, notes = match_state_dict(backbone, read_state(path), str(path))
    short, full = notes.short, notes.full
    if notes.uncounted and kind == "file":
        missing = (
            f"{notes.uncounted} counter{'s' if notes.uncounted > 1 else ''} num_batches_tracked of BatchNorm "
            f"{'are' if notes.uncounted > 1 else 'is'} missing and taken as 0: the features are those of a file with "
            f"them, but are kept under another key"
        )
        short, full = (f"{text}; {missing}" if text else f"{path.name}: {missing}" for text in (short, full))
    if url and (source := download_of(path)) is not None:
        told = f"{source.url} has the SHA-256 {source.sha256}"
        full = f"{told}; {full}" if full else told
        if not promises_hash(url):
            short = f"{told}; {short}" if short else told
    if kind == "file" and is_fine_tuned(path):
        label = f"{TUNED} {path.name}"
    return Weights(state, label, state_dict_sha256(state), path, kind, name, 0, head, short, full, url)


def state_dict_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over tensors: name, dtype, shape and raw bytes of each, sorted by name.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{list(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def url_of(backbone: str, name: str) -> str:
    """Where torchvision publishes the file of a member of the weights enum."""
    return str(get_model_weights(backbone)[name].url)


def _is_file(weights: str | os.PathLike[str]) -> bool:
    if not isinstance(weights, str):
        return True
    return weights.endswith(SUFFIXES) or os.sep in weights or Path(weights).exists()


def _downloaded(url: str, timeout: float, progress: StageProgress | None) -> Path:
    try:
        return fetched(url, progress, timeout=timeout)
    except DownloadError as error:
        raise WeightsNotFoundError(str(error)) from error


def _pretrained(info: BackboneInfo, name: str, timeout: float, progress: StageProgress | None) -> Path:
    """The file of a member of the weights enum, in torch's download folder, of the hash that its name promises."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / info.files[name]
    promised = re.findall(r"-([0-9a-f]{8,})\.", path.name)[-1]
    if path.is_file():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(promised):
            raise WeightsError(
                f"{path} has the SHA-256 {found[:8]}..., but its name promises {promised}: it is truncated or changed; "
                f"delete it to download it again, or use it as it is with {argument('weights', str(path))}"
            )
        return path
    url = url_of(info.name, name)
    try:
        fetch(url, path, promised, timeout=timeout, progress=progress)
    except OSError as error:
        if isinstance(error, WeightsError):
            raise
        reason = getattr(error, "reason", error) if not isinstance(error, HTTPError) else error
        raise WeightsNotFoundError(
            f"{path.name} (the weights {name} of {info.name}) is not in {folder} and could not be downloaded from "
            f'{url} ({reason}); give a file with `weights="FILE"`, or take seeded random weights with `weights="none"`'
        ) from error
    return path
