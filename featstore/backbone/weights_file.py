"""Read a file of network weights: tensors by name, and nothing else gets in.

Two formats: what `torch.save` writes, read with torch's restricted unpickler, and safetensors. The first bytes decide,
not the extension. Nothing in the file is run.
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from featstore.backbone.checkpoint_names import LEVEL
from featstore.backbone.plain_objects import STAND_INS, StoredArray
from featstore.errors import WeightsError, WeightsNotFoundError
from featstore.system.reporting import argument

_LARGEST = 16 << 30
_DEEPEST = 12
"""Mappings inside of one another that are looked into."""
_OTHER_FORMATS = (
    (b"\x89HDF", "an HDF5 file, as Keras writes"),
    (b"\x1f\x8b", "packed with gzip: unpack it first"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: run `git lfs pull`"),
    (b"GGUF", "a GGUF file"),
    (b"\x93NUMPY", "one NumPy array"),
    (b"{", "a JSON file"),
)
"""First bytes of what people take for weights, and what it is."""
_AFTER_VERSION = (b"\x12", b"\x3a", b"\x42")
"""What stands in an ONNX file after the version: the tags of the producer, the graph or the operators."""

TUNED_MARK = "featstore"
"""The entry of a safetensors file's metadata in which `finetune` says where its weights came from."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Every tensor in a weights file, by its place and name.

    Parameters
    ----------
    path : Path
        A file that `torch.save` or safetensors wrote: a state dict, or a checkpoint with state dicts in it.

    Returns
    -------
    dict of str to Tensor
        On the CPU, without gradients, as in the file. The keys of mappings stand before the names, each followed by
        a slash: `conv1.weight`, `state_dict/model.conv1.weight`. Numbers of NumPy arrays count as tensors.

    Raises
    ------
    WeightsNotFoundError
        No such file.
    WeightsError
        Not a weights file, without tensors, truncated, too large, or a pickle that would run code.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsNotFoundError(f"the weights file {path} does not exist; check the path given with `weights`")
    if not path.is_file():
        raise WeightsError(f"{path} is no file; `weights` wants one .pth or .safetensors file{_inside(path)}")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise WeightsError(f"the weights file {path} cannot be read: {error.strerror}") from error
    if not size:
        raise WeightsError(f"the weights file {path} is empty; copy or download it again")
    if size > _LARGEST:
        raise WeightsError(f"{path} holds {size >> 30} GiB; no supported network is larger than {_LARGEST >> 30} GiB")
    if head.startswith(b"PK\x03\x04"):
        _check_zip(path, size)
        content = _unpickle(path)
    elif head[8:9] == b"{":
        content = _read_safetensors(path)
    elif head.startswith(b"\x80"):
        content = _unpickle(path)
    else:
        raise WeightsError(
            f"{path} is no weights file: {_told(head, path)}; expected a .pth file that torch.save wrote, "
            f"or a .safetensors file"
        )
    tensors = dict(_tensors(content))
    if not tensors:
        raise WeightsError(f"{path} holds {_kind(content)}; expected a state dict, tensors by name")
    return tensors


def is_fine_tuned(path: Path) -> bool:
    """Whether a weights file, which `read_state` has taken, says that `finetune` wrote it and so learnt from labels."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return TUNED_MARK in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False  # no safetensors


def _check_zip(path: Path, size: int) -> None:
    """torch.save stores without compression; anything else could unpack to more than the disk holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is truncated or damaged ({error}); copy or download it again") from error
    if not any(entry.filename.endswith("/data.pkl") or entry.filename == "data.pkl" for entry in entries):
        held = [entry.filename for entry in entries]
        arrays = bool(held) and all(name.endswith(".npy") for name in held)
        keras = "model.weights.h5" in held or "config.json" in held
        what = "a model of Keras" if keras else "an .npz file of NumPy arrays" if arrays else "a zip file"
        shown = f"{', '.join(held[:2])}{', ...' if len(held) > 2 else ''}" if held else "nothing"
        raise WeightsError(
            f"{path} is {what}, but not one that torch.save wrote (it holds no data.pkl, but {shown}); expected a .pth "
            f"file that torch.save wrote, or a .safetensors file"
        )
    if any(entry.filename.endswith("constants.pkl") for entry in entries):
        raise WeightsError(
            f"{path} is a TorchScript program, not weights; save its state_dict() with torch.save instead"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise WeightsError(f"{path} was packed again after torch.save wrote it; give the file as torch.save wrote it")


def _unpickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with safe_globals(list(STAND_INS)):
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # damaged bytes make the restricted unpickler raise almost anything; each means that the file is no good
        text = str(error)
        if found := re.search(r"(?:GLOBAL|unrecognized function|Unsupported class) ([\w.]+)", text):
            if re.match(r"torch\.nn\.(modules|parallel)\.|torchvision\.models\.|torch\.fx\.", found[1]):
                raise WeightsError(
                    f"{path} is a pickle that would run code when loaded: it holds a module as a whole, not only its "
                    f"tensors (it refers to {found[1]}), so it was not loaded; save only the tensors, with "
                    f"torch.save(network.state_dict(), ...) or as .safetensors"
                ) from error
            raise WeightsError(
                f"{path} is a pickle that would run code when loaded (it refers to {found[1]}), so it was not loaded; "
                f"save only the tensors, with torch.save(network.state_dict(), ...) or as .safetensors"
            ) from error
        detail = text.partition("WeightsUnpickler error:")[2].strip() or text or type(error).__name__
        cause = detail.splitlines()[0][:120]
        if cause.startswith("Unsupported operand") and (protocol := _protocol(path)) in (3, 4, 5):
            raise WeightsError(
                f"{path} is a pickle of protocol {protocol}, which is read here only in part, so it is not known "
                f"whether it would run code when loaded, and it was not loaded; write its tensors again, with "
                f"torch.save(state_dict, ...) in its usual protocol, or as .safetensors"
            ) from error
        if isinstance(error, pickle.UnpicklingError):
            raise WeightsError(
                f"{path} is damaged, or a pickle that would run code when loaded ({cause}); it was not loaded: copy "
                f"it again, or save only the tensors, with torch.save(network.state_dict(), ...) or as .safetensors"
            ) from error
        raise WeightsError(f"{path} is truncated or damaged ({cause}); copy or download it again") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())  # load_file would alias the file: who writes to it would change the tensors
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} is no readable safetensors file ({str(error)[:120]}); copy or download it again"
        ) from error


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors of a mapping and of the mappings and sequences in it; a container that was seen is not entered again."""
    waiting, seen = [("", content, 0)], {id(content)}
    while waiting:
        place, found, depth = waiting.pop()
        items = found.items() if isinstance(found, dict) else enumerate(found)
        inner = []
        for key, value in items if isinstance(found, dict | list | tuple) else ():
            if isinstance(value, StoredArray):
                value = value.tensor()
            name = f"{place}{key}" if isinstance(key, str | int) else ""
            if isinstance(value, Tensor) and name:
                yield name, value.detach()
            elif isinstance(value, dict | list | tuple) and name and depth < _DEEPEST and id(value) not in seen:
                seen.add(id(value))
                inner.append((f"{name}{LEVEL}", value, depth + 1))
        waiting.extend(reversed(inner))  # in the order of the file


def _told(head: bytes, path: Path) -> str:
    if head.startswith(b"{") and _indexes_shards(path):
        return (
            "it is the index of a model in several .safetensors files, and holds no tensors: give the file that "
            "the tensors are in, or join them in one"
        )
    if path.suffix.lower() == ".onnx" or (head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in _AFTER_VERSION):
        return "it looks like an ONNX model, whose tensors have no names of torchvision's"
    for start, what in _OTHER_FORMATS:
        if head.startswith(start):
            return f"it is {what}"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"it is a web page (it starts with {head[:8]!r}): download the file itself"
    return f"it starts with {head[:8]!r}"


def _indexes_shards(path: Path) -> bool:
    """Whether a JSON file is what tells in which of several files each tensor lies."""
    try:
        with path.open("rb") as file:
            return b'"weight_map"' in file.read(1 << 16)
    except OSError:
        return False


def _protocol(path: Path) -> int:
    """The protocol of the pickle in a file; 0 where it cannot be told."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start == b"PK":
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(name) as inner:
                    start = inner.read(2)
    except (OSError, ValueError, zipfile.BadZipFile, StopIteration, NotImplementedError, RuntimeError):
        return 0
    return start[1] if start[:1] == b"\x80" and len(start) > 1 else 0


def _inside(folder: Path) -> str:
    """Which files of a folder would do, for its error."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith((".pth", ".safetensors", ".bin", ".ckpt")))
    except OSError:
        return ""
    return f", such as {argument('weights', str(folder / names[0]))}" if names else ""


def _kind(value: Any) -> str:
    if isinstance(value, dict) and not value:
        return "an empty mapping"
    if isinstance(value, dict):
        keys = ", ".join(repr(key) for key in list(value)[:4])
        return f"no tensors (a mapping of {keys}{', ...' if len(value) > 4 else ''})"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
