"""Read a file of network weights: tensors by name, and nothing else gets in.

Two formats: what `torch.save` writes, read with torch's restricted unpickler, and safetensors. The first bytes decide,
not the extension. Nothing in the file is run.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featstore.errors import WeightsError, WeightsNotFoundError

_LARGEST = 16 << 30
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "params")
"""Keys under which training scripts keep the tensors beside epoch numbers and optimizer states."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What DataParallel, torch.compile and common wrappers put before every name."""
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


TUNED_MARK = "featstore"
"""The entry of a safetensors file's metadata in which `finetune` says where its weights came from."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a weights file, by name, without the names' common wrapper.

    Parameters
    ----------
    path : Path
        A file that `torch.save` or safetensors wrote: a state dict, or a checkpoint with one under `state_dict`,
        `model_state_dict`, `model`, `net`, `network` or `params`.

    Returns
    -------
    dict of str to Tensor
        On the CPU; floating point as in the file.

    Raises
    ------
    WeightsNotFoundError
        No such file.
    WeightsError
        Not a weights file, truncated, too large, or a pickle that would run code.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsNotFoundError(f"the weights file {path} does not exist; check the path given with `weights`")
    if not path.is_file():
        raise WeightsError(f"{path} is no file; `weights` wants one .pth or .safetensors file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"the weights file {path} cannot be read: {error.strerror}") from error
    if not size:
        raise WeightsError(f"the weights file {path} is empty; copy or download it again")
    if size > _LARGEST:
        raise WeightsError(f"{path} holds {size >> 30} GiB; no supported network is larger than {_LARGEST >> 30} GiB")
    if head.startswith(b"PK\x03\x04"):
        _check_zip(path, size)
        content = _unpickle(path)
    elif len(head) == 9 and head[8:] == b"{":
        content = _read_safetensors(path)
    elif head.startswith(b"\x80"):
        content = _unpickle(path)
    else:
        raise WeightsError(
            f"{path} is no weights file: it starts with {head[:8]!r}; expected a .pth file that torch.save wrote, "
            f"or a .safetensors file"
        )
    return _unwrap(path, content)


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
        raise WeightsError(f"{path} is a zip file, but not one that torch.save wrote (it holds no data.pkl)")
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
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # damaged bytes make the restricted unpickler raise almost anything; each means that the file is no good
        text = str(error)
        if found := re.search(r"(?:GLOBAL|unrecognized function|Unsupported class) ([\w.]+)", text):
            raise WeightsError(
                f"{path} is a pickle that would run code when loaded (it refers to {found[1]}), so it was not loaded; "
                f"save only the tensors, with torch.save(network.state_dict(), ...) or as .safetensors"
            ) from error
        detail = text.partition("WeightsUnpickler error:")[2].strip() or text or type(error).__name__
        cause = detail.splitlines()[0][:120]
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


def _unwrap(path: Path, content: Any) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path} holds {_kind(content)}; expected a state dict, tensors by name")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise WeightsError(
                f"{path} holds {_kind(value)} under {name!r}; expected a state dict: tensors by name, or a checkpoint "
                f"with one under {', '.join(map(repr, _WRAPPERS))}"
            )
        if value.dtype not in (*_FLOATS, torch.int64):
            raise WeightsError(f"{path} holds {value.dtype} under {name!r}; expected floating-point tensors")
    state: dict[str, Tensor] = {name: value.detach() for name, value in content.items()}
    while shared := next((p for p in _PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name[len(shared) :]: value for name, value in state.items()}
    return state


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an empty mapping"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
