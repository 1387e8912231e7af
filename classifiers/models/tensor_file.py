"""A document and its arrays in one safetensors file, with a SHA-256 over both that is checked before anything is used.

Any safetensors reader can open such a file. Reading one from a stranger runs no code: the format holds numbers and
text, sizes are bounded before anything is parsed, and the hash is checked over the bytes that are then used.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeatstoreError, StoreDamagedError, StoreError
from featstore.system import fsio, fsread
from featstore.system.canonical_json import canonical_json

Arrays = dict[str, NDArray[Any]]

HEADER_LIMIT = 64 << 20
"""Bytes of the JSON header; more is refused before it is parsed."""
FILE_LIMIT = 8 << 30
"""Bytes of a whole file."""

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_DOCUMENT, _HASH = "featstore", "sha256"
_ALIGNMENT = 64


@dataclass(frozen=True)
class FileFormat:
    """Which file is meant: its name in messages, its format number, and the errors to raise.

    Attributes
    ----------
    name : str
        "bundle", "checkpoint", ...; written into the document and compared when it is read.
    version : int
        The newest format that this version reads, and the one that it writes.
    damaged : type of FeatstoreError
        Raised for a file that is no such file, is damaged, or of a newer format.
    missing : type of FeatstoreError
        Raised where there is no file.
    remedy : str
        What to do about a damaged one.
    """

    name: str
    version: int
    damaged: type[FeatstoreError]
    missing: type[FeatstoreError]
    remedy: str


def write(path: Path, format: FileFormat, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Write a file, atomically over one that exists.

    Parameters
    ----------
    document : mapping
        JSON-able; `kind` and `format` are added.
    arrays : mapping of name to ndarray
        Of the dtypes that safetensors and numpy share.

    Returns
    -------
    str
        The SHA-256 that the file carries, 64 hexadecimal digits.

    Raises
    ------
    StoreWriteError
        Where the disk refuses; what was there before is untouched.
    """
    parts, digest = encode(format, document, arrays)
    fsio.replace(Path(path), parts)
    return digest


def encode(
    format: FileFormat, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[list[bytes | memoryview], str]:
    """The bytes of a file, in pieces that lie where the arrays lie, and the hash that it carries.

    Raises
    ------
    TypeError
        For an array of objects, text or complex numbers: a defect of the caller.
    """
    text = canonical_json({**document, "kind": format.name, "format": format.version})
    ready = {name: _plain(name, array) for name, array in arrays.items()}
    digest = _digest(text, ready)
    header: dict[str, Any] = {"__metadata__": {_DOCUMENT: text.decode("ascii"), _HASH: digest}}
    offset = 0
    # safetensors' own order: the widest types first, then by name, which keeps every array aligned
    order = sorted(ready, key=lambda name: (-ready[name].dtype.itemsize, name))
    for name in order:
        array = ready[name]
        spans = [offset, offset + array.nbytes]
        header[name] = {"dtype": _NAMES[array.dtype.str], "shape": list(array.shape), "data_offsets": spans}
        offset += array.nbytes
    head = json.dumps(header, separators=(",", ":")).encode("ascii")
    head += b" " * (-(len(head) + 8) % _ALIGNMENT)
    body = [ready[name].data.cast("B") for name in order if ready[name].nbytes]
    return [struct.pack("<Q", len(head)) + head, *body], digest


def read(path: Path, format: FileFormat) -> tuple[dict[str, Any], Arrays]:
    """Read and check a file.

    Returns
    -------
    document : dict
        Without `kind` and `format`.
    arrays : dict of name to ndarray
        Read-only views of the file's bytes in memory.

    Raises
    ------
    format.missing
        No such file.
    format.damaged
        It is something else, damaged, or of a newer format; the message says which.
    """
    path = Path(path)
    try:
        # a link that the user names is theirs to follow; the guard is against what is no regular file
        data = fsread.read_bytes(Path(os.path.realpath(path)), FILE_LIMIT)
    except FileNotFoundError:
        raise format.missing(f"there is no {format.name} at {path}; check the path") from None
    except StoreDamagedError as error:
        raise format.damaged(f"{path} cannot be read as a {format.name}: {error}") from error
    except (StoreError, OSError) as error:
        raise format.damaged(str(error)) from error
    return decode(data, format, path)


def kind(path: Path) -> str:
    """What a file was written as, by its header alone; nothing is checked.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Name of its `FileFormat`; "" for any other file, and for what is no regular file.
    """
    try:
        descriptor, status = fsread.open_regular(os.fsencode(path))
        with os.fdopen(descriptor, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(HEADER_LIMIT, status.st_size):
                return ""
            document = json.loads(json.loads(file.read(length))["__metadata__"][_DOCUMENT])
            return str(document["kind"])
    except (OSError, struct.error, ValueError, KeyError, TypeError, RecursionError):
        return ""


def decode(data: bytes, format: FileFormat, what: object) -> tuple[dict[str, Any], Arrays]:
    """Check and parse a file's bytes; as `read`.

    Parameters
    ----------
    what : object
        Named in messages, mostly the path.
    """
    try:
        text, expected, arrays = _parse(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise format.damaged(f"{what} is no {format.name}, or a damaged one: {error}; {format.remedy}") from error
    if _digest(text, arrays) != expected:
        raise format.damaged(f"{what} is damaged: its bytes do not have the hash written in it; {format.remedy}")
    document = _load(text, format, what)
    if document.pop("kind", None) != format.name:
        raise format.damaged(f"{what} is no {format.name}; {format.remedy}")
    version = document.pop("format", None)
    if type(version) is not int or version < 1:
        raise format.damaged(f"{what} says no format number; {format.remedy}")
    if version > format.version:
        raise format.damaged(
            f"{what} is a {format.name} of format {version}; this featstore reads up to format {format.version}: "
            f"upgrade with `pip install --upgrade featstore`"
        )
    return document, arrays


def _load(text: bytes, format: FileFormat, what: object) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise format.damaged(f"{what} is no {format.name}: its document is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise format.damaged(f"{what} is no {format.name}: its document is no JSON object")
    return document


def _parse(data: bytes) -> tuple[bytes, str, Arrays]:
    """Document, promised hash and arrays of a safetensors file; strict about everything that readers disagree on."""
    if len(data) < 8:
        raise ValueError(f"it ends after {len(data)} bytes")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(HEADER_LIMIT, len(data) - 8):
        raise ValueError(f"its header is said to have {length} bytes")
    header = json.loads(data[8 : 8 + length], object_pairs_hook=_distinct, parse_constant=_refuse)
    metadata = header.pop("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or set(metadata) != {_DOCUMENT, _HASH}:
        raise ValueError("it was not written by featstore")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is no text")
    body = memoryview(data)[8 + length :]
    arrays: Arrays = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: (item[1]["data_offsets"], item[0])):
        arrays[name], end = _array(entry, body, end)
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes belong to no array")
    return metadata[_DOCUMENT].encode("utf-8", "surrogatepass"), metadata[_HASH], arrays


def _array(entry: dict[str, Any], body: memoryview, begin: int) -> tuple[NDArray[Any], int]:
    """The array that begins at `begin`, and where it ends: arrays touch, without holes and overlaps."""
    shape, (start, end) = entry["shape"], entry["data_offsets"]
    numbers = [start, end, *shape]
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers) or len(shape) > 8:
        raise ValueError(f"an array of shape {str(shape)[:80]}")
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    count = 1
    for side in shape:
        count *= side
    if start != begin or end - start != count * dtype.itemsize or end > len(body):
        raise ValueError(f"an array of shape {shape} lies at {start} to {end}")
    raw = np.frombuffer(body[start:end], dtype=np.uint8)
    if dtype.kind == "b" and raw.size and raw.max() > 1:
        raise ValueError("a truth value that is neither 0 nor 1")
    return raw.view(dtype).reshape(shape), end


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array in C order and little-endian."""
    array = np.asarray(array)
    plain = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    if plain.dtype.str not in _NAMES:
        raise TypeError(f"array {name!r} is {array.dtype}; only plain numbers and truth values can be saved")
    return plain


def _digest(text: bytes, arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the document and every array: name, dtype, shape, bytes; each with its length in front."""
    total = hashlib.sha256()

    def add(piece: bytes | memoryview) -> None:
        total.update(struct.pack("<Q", len(piece)))
        total.update(piece)

    add(text)
    for name in sorted(arrays):
        array = arrays[name]
        add(f"{name}\0{array.dtype.str}\0{list(array.shape)}".encode("utf-8", "surrogatepass"))
        add(array.data.cast("B") if array.nbytes else b"")
    return total.hexdigest()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header names something twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
