"""The HDF5 container of shards and image sets: arrays to bytes and back, all in memory.

Every array is one dataset in the root group, stored as a single chunk with a checksum and no other filter, so its bytes
lie in the file in one piece. `pack` says where. Who has checked the hash of the whole file can therefore take the
arrays straight out of it (`view`) and bytes from strangers never reach the HDF5 library; where they must (`unpack`, for
`verify` and `repair`), they pass guards first.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featstore.errors import StoreDamagedError
from featstore.system.canonical_json import canonical_json

ATTRIBUTE = "featstore"
ATTRIBUTE_LIMIT = 60_000
"""Bytes of JSON in the attribute; above 64 KiB HDF5 would store it in another way."""

_DTYPE = re.compile(r"\|u1|<[iu]8|<f[24]|\|S[1-9][0-9]{0,3}")
_PARSER_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


@dataclasses.dataclass(frozen=True)
class Block:
    """Where an array lies in a file: offset in bytes, numpy dtype string, shape."""

    offset: int
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape)
        if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers) or not 1 <= len(self.shape) <= 2:
            raise StoreDamagedError(f"an array at {self.offset} of shape {self.shape}, expected small counts")
        if not isinstance(self.dtype, str) or not _DTYPE.fullmatch(self.dtype):
            raise StoreDamagedError(f"an array of type {self.dtype!r}, expected plain numbers or fixed-length bytes")

    @property
    def nbytes(self) -> int:
        """Length in bytes."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    def to_json(self) -> list[Any]:
        """`[offset, dtype, shape]`."""
        return [self.offset, self.dtype, list(self.shape)]

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read `to_json`'s list.

        Raises
        ------
        StoreDamagedError
            Where it is something else.
        """
        if not (isinstance(document, list) and len(document) == 3 and isinstance(document[2], list)):
            raise StoreDamagedError(f"{document!r} does not say where an array is; expected [offset, dtype, shape]")
        return cls(document[0], document[1], tuple(document[2]))


def pack(
    arrays: Mapping[str, NDArray[Any]], attribute: Mapping[str, Any], head: int = 0
) -> tuple[memoryview, dict[str, Block]]:
    """Build an HDF5 file in memory; the same input gives the same bytes in every process.

    Parameters
    ----------
    arrays : mapping of name to ndarray
        Plain little-endian numbers or fixed-length bytes.
    attribute : mapping
        JSON-able document kept as the file's one attribute.
    head : int
        Bytes to leave free before the HDF5 part (a user block, which HDF5 readers skip): 0, or a power of two from 512.

    Returns
    -------
    data : memoryview
        The file's bytes.
    layout : dict of name to Block
        Where each array lies in `data`.

    Raises
    ------
    ValueError
        Where `attribute` is larger than `ATTRIBUTE_LIMIT`.

    Examples
    --------
    >>> data, layout = pack({"x": np.arange(3, dtype="<f4")}, {"made by": "an example"})
    >>> view(data, layout["x"])
    array([0., 1., 2.], dtype=float32)
    """
    import h5py

    text = canonical_json(attribute)
    if len(text) > ATTRIBUTE_LIMIT:
        raise ValueError(f"a description of {len(text)} bytes, expected at most {ATTRIBUTE_LIMIT}")
    memory = io.BytesIO()
    offsets = {}
    with h5py.File(memory, "w", libver=("v110", "v110"), userblock_size=head) as file:
        file.attrs[ATTRIBUTE] = np.bytes_(text)
        for name, array in arrays.items():
            chunks = {"chunks": array.shape, "fletcher32": True} if array.size else {}
            file.create_dataset(name, data=array, track_times=False, **chunks)
        file.flush()
        for name, array in arrays.items():
            offsets[name] = file[name].id.get_chunk_info(0).byte_offset if array.size else 0
    data = memory.getbuffer()
    layout = {}
    for name, array in arrays.items():
        # HDF5 releases differ on whether a chunk's address counts the user block; the bytes themselves settle it.
        for offset in {offsets[name], offsets[name] + head}:
            block = Block(offset, array.dtype.str, array.shape)
            if offset + block.nbytes <= len(data) and _same_bytes(view(data, block), array):
                layout[name] = block
                break
        else:
            raise RuntimeError(f"HDF5 stored {name!r} elsewhere than it says; this HDF5 release cannot be used")
    return data, layout


def view(data: bytes | memoryview, block: Block) -> NDArray[Any]:
    """An array where it lies, without a copy.

    Parameters
    ----------
    data : buffer
        A whole file whose hash has been checked.

    Raises
    ------
    StoreDamagedError
        Where the block reaches beyond the file.
    """
    if block.offset + block.nbytes > len(data):
        raise StoreDamagedError(f"an array ends at byte {block.offset + block.nbytes} of a file of {len(data)}")
    if not block.nbytes:
        return np.empty(block.shape, dtype=block.dtype)
    count = math.prod(block.shape)
    return np.frombuffer(data, dtype=block.dtype, count=count, offset=block.offset).reshape(block.shape)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]], dict[str, Block]]:
    """Parse a file's bytes with the HDF5 library, under guards.

    Only what `pack` writes is accepted: hard links to plain datasets in the root group, one chunk each, no filter but
    the checksum, no external or virtual storage, fixed-size types, nothing larger than the file, one JSON attribute.

    Returns
    -------
    attribute : dict
    arrays : dict of name to ndarray
    layout : dict of name to Block

    Raises
    ------
    StoreDamagedError
        For anything else.

    Examples
    --------
    >>> data, _ = pack({"x": np.arange(3, dtype="<f4")}, {"made by": "an example"})
    >>> attribute, arrays, _ = unpack(bytes(data))
    >>> attribute, arrays["x"]
    ({'made by': 'an example'}, array([0., 1., 2.], dtype=float32))
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            attribute = _attribute(file)
            arrays, layout = {}, {}
            for name in file:
                arrays[name], layout[name] = _guarded(file, name, data)
    except _PARSER_ERRORS as error:
        if isinstance(error, StoreDamagedError):
            raise
        raise StoreDamagedError(f"no HDF5 file that can be read: {error}") from error
    return attribute, arrays, layout


def _attribute(file: Any) -> dict[str, Any]:
    if list(file.attrs) != [ATTRIBUTE]:
        raise StoreDamagedError(f"attributes {list(file.attrs)[:5]}, expected one, {ATTRIBUTE!r}")
    raw = file.attrs.get_id(ATTRIBUTE)
    if raw.shape != () or raw.dtype.kind != "S" or raw.dtype.itemsize > ATTRIBUTE_LIMIT:
        raise StoreDamagedError(f"the attribute {ATTRIBUTE!r} is {raw.dtype} {raw.shape}, expected fixed-length bytes")
    try:
        document = json.loads(bytes(file.attrs[ATTRIBUTE]), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise StoreDamagedError(f"the attribute {ATTRIBUTE!r} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise StoreDamagedError(f"the attribute {ATTRIBUTE!r} is no JSON object")
    return document


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is no JSON")
    return value


def _guarded(file: Any, name: str, data: bytes) -> tuple[NDArray[Any], Block]:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise StoreDamagedError(f"{name!r} is a soft or external link; only plain datasets are allowed")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise StoreDamagedError(f"{name!r} is no dataset")
    properties = dataset.id.get_create_plist()
    if properties.get_external_count():
        raise StoreDamagedError(f"{name!r} keeps its data in another file; only plain datasets are allowed")
    if dataset.shape is None or not _DTYPE.fullmatch(dataset.dtype.str) or dataset.dtype.hasobject:
        raise StoreDamagedError(f"{name!r} is of type {dataset.dtype}, expected plain numbers or fixed-length bytes")
    offset = 0
    if dataset.size:
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        if properties.get_layout() != h5py.h5d.CHUNKED or filters != [h5py.h5z.FILTER_FLETCHER32]:
            raise StoreDamagedError(
                f"{name!r} is not one chunk with a checksum; virtual or filtered data is not allowed"
            )
        if dataset.chunks != dataset.shape or dataset.id.get_num_chunks() != 1 or dataset.nbytes > len(data):
            raise StoreDamagedError(f"{name!r} of shape {dataset.shape} does not lie in the file in one piece")
        offset = dataset.id.get_chunk_info(0).byte_offset
    array = dataset[()]
    userblock = int(file.userblock_size)
    for candidate in {offset, offset + userblock}:
        block = Block(int(candidate), array.dtype.str, tuple(map(int, array.shape)))
        if block.offset + block.nbytes <= len(data) and _same_bytes(view(data, block), array):
            return array, block
    raise StoreDamagedError(f"{name!r} reads differently through HDF5 and from its place in the file")


def _same_bytes(a: NDArray[Any], b: NDArray[Any]) -> bool:
    flat = [np.ascontiguousarray(x).reshape(-1).view(np.uint8) if x.size else x for x in (a, b)]
    return np.array_equal(flat[0], flat[1])
