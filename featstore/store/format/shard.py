"""One immutable HDF5 shard of up to some thousands of rows: encode to bytes, decode from bytes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featstore.errors import FeaturesError, FingerprintMismatchError, StoreDamagedError
from featstore.fingerprint import Fingerprint
from featstore.store.format.checksum import checksum
from featstore.store.format.container import Block, pack, unpack, view
from featstore.store.format.rows import FAILED, OK, PASSING, Index, Rows, as_keys, texts

__all__ = ["FAILED", "OK", "PASSING", "Rows", "ShardEntry", "decode", "encode", "parse_index", "stored_dtype"]

FORMAT = 1
ROUNDED_FORMAT = 2
"""Of shards whose features were rounded to be stored, and of the manifests and fingerprints of such feature sets:
readers that know format 1 alone refuse them in words."""

REASON_LIMIT = 500
"""Bytes of a stored reason, UTF-8; the rest is cut off."""

_KINDS = {"digest": "|u1", "status": "|u1", "reason": "|S", "features": "<f"}


@dataclasses.dataclass(frozen=True)
class ShardEntry:
    """What a manifest says about one shard; all of it can be read off the shard itself.

    Attributes
    ----------
    sha256 : str
        64 hex digits over the file's bytes; also its name.
    size : int
        Bytes.
    rows, dim : int
        Shape of the features.
    index_sha256 : str
        Over the bytes of digest, status and reason, in this order: the part that can be read without the features.
    features_check : str
        `checksum` of the bytes of the features.
    layout : dict of {"digest", "status", "reason", "features"} to Block
        Where the arrays lie in the file.
    provenance : dict
        How the rows were computed: engine, device, library versions.
    format : int
        1, or `ROUNDED_FORMAT`.

    Examples
    --------
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> digests = np.arange(1, 65, dtype=np.uint8).reshape(2, 32)
    >>> data, entry = encode(Rows(digests, np.ones((2, 4), np.float32), np.zeros(2, np.uint8), ("", "")), made, {})
    >>> entry.rows, entry.dim, entry.size == len(data)
    (2, 4, True)
    """

    sha256: str
    size: int
    rows: int
    dim: int
    index_sha256: str
    features_check: str
    layout: dict[str, Block]
    provenance: dict[str, Any]
    format: int = FORMAT

    def __post_init__(self) -> None:
        counts = {"size": self.size, "rows": self.rows, "dim": self.dim}
        for name, count in counts.items():
            if type(count) is not int or not 0 < count < 1 << 48:
                raise StoreDamagedError(f"a shard with {name} {count!r}, expected a positive number")
        for sha in (self.sha256, self.index_sha256, self.features_check):
            if not (isinstance(sha, str) and len(sha) == 64 and set(sha) <= set("0123456789abcdef")):
                raise StoreDamagedError(f"a shard with the hash {sha!r}, expected 64 hex digits")
        if set(self.layout) != set(_KINDS) or not isinstance(self.provenance, dict):
            raise StoreDamagedError(f"a shard with the arrays {sorted(self.layout)}, expected {sorted(_KINDS)}")
        if type(self.format) is not int or self.format not in (FORMAT, ROUNDED_FORMAT):
            raise StoreDamagedError(f"a shard of format {self.format!r}, expected {FORMAT} or {ROUNDED_FORMAT}")
        shapes = {
            "digest": (self.rows, 32),
            "status": (self.rows,),
            "reason": (self.rows,),
            "features": (self.rows, self.dim),
        }
        for name, block in self.layout.items():
            kind = _KINDS[name]
            if block.shape != shapes[name] or not block.dtype.startswith(kind):
                raise StoreDamagedError(
                    f"a shard with {name} {block.dtype} {block.shape}, expected {kind} {shapes[name]}"
                )
            if block.offset + block.nbytes > self.size:
                raise StoreDamagedError(f"a shard of {self.size} bytes whose {name} reaches beyond its end")

    @property
    def file_name(self) -> str:
        """`<sha256>.h5`."""
        return f"{self.sha256}.h5"

    @property
    def index_spans(self) -> list[tuple[int, int]]:
        """(offset, length) of digest, status and reason."""
        return [(self.layout[name].offset, self.layout[name].nbytes) for name in ("digest", "status", "reason")]

    def to_json(self) -> dict[str, Any]:
        """JSON-able; the provenance is left to the manifest, which holds each only once."""
        return dict(self._document)

    @cached_property
    def _document(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "bytes": self.size,
            "rows": self.rows,
            "dim": self.dim,
            "index_sha256": self.index_sha256,
            "features_check": self.features_check,
            "layout": {name: block.to_json() for name, block in self.layout.items()},
            **({} if self.format == FORMAT else {"format": self.format}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], provenance: Any, known: Self | None = None) -> Self:
        """Rebuild from `to_json`'s document.

        Parameters
        ----------
        document : mapping
            What else it holds is passed over.
        provenance : dict
        known : ShardEntry, optional
            Given back where it says the same: every commit reads all entries of the one before it.

        Raises
        ------
        StoreDamagedError
            Where something is missing or cannot be true.
        """
        try:
            said = {name: value for name, value in document.items() if name != "provenance"}
            if known is not None and (known._document, known.provenance) == (said, provenance):
                return known
            layout = {name: Block.from_json(block) for name, block in document["layout"].items()}
            return cls(
                sha256=document["sha256"],
                size=document["bytes"],
                rows=document["rows"],
                dim=document["dim"],
                index_sha256=document["index_sha256"],
                features_check=document["features_check"],
                layout=layout,
                provenance=provenance,
                format=document.get("format", FORMAT),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreDamagedError(f"a shard without {error}") from error


def stored_dtype(fingerprint: Fingerprint) -> str:
    """The NumPy dtype of stored features: bf16 fits into float32 exactly, fp16 is stored as it is."""
    return "<f2" if fingerprint.store_dtype == "fp16" else "<f4"


def format_of(fingerprint: Fingerprint) -> int:
    """The format number of a feature set's files."""
    return ROUNDED_FORMAT if fingerprint.rounded else FORMAT


def encode(rows: Rows, fingerprint: Fingerprint, provenance: Mapping[str, Any]) -> tuple[memoryview, ShardEntry]:
    """Make a shard's bytes; the same rows, fingerprint and provenance give the same bytes.

    Parameters
    ----------
    rows : Rows
        At least one; settled here (see `Rows.settled`).
    fingerprint : Fingerprint
    provenance : mapping
        JSON-able.

    Returns
    -------
    data : memoryview
    entry : ShardEntry

    Raises
    ------
    FeaturesError
        Where there is no row, or the provenance is too large or no JSON.
    """
    if not len(rows):
        raise FeaturesError("a shard needs at least one row")
    dtype = stored_dtype(fingerprint)
    rows = rows.settled(dtype)
    reasons = [_cut(reason) for reason in rows.reasons]
    arrays: dict[str, NDArray[Any]] = {
        "digest": rows.digests,
        "status": rows.status,
        "reason": np.array(reasons, dtype=f"S{max(1, *map(len, reasons))}"),
        "features": rows.X.astype(dtype, copy=False),
    }
    attribute = {
        "format": format_of(fingerprint),
        "key": fingerprint.key,
        "fingerprint": fingerprint.to_json(),
        "provenance": dict(provenance),
        "rows": len(rows),
        "dim": rows.X.shape[1],
        "dtype": dtype,
        "failed": int((rows.status != OK).sum()),
    }
    try:
        data, layout = pack(arrays, attribute)
    except (ValueError, TypeError) as error:
        raise FeaturesError(f"the fingerprint and provenance of these rows cannot be stored: {error}") from error
    return data, _entry(data, layout, attribute)


def decode(data: bytes) -> tuple[Rows, Fingerprint, ShardEntry]:
    """Read a shard with the HDF5 library, under guards; for `verify` and `repair`.

    Returns
    -------
    rows : Rows
    fingerprint : Fingerprint
    entry : ShardEntry
        As a manifest would hold it, made from the bytes alone.

    Raises
    ------
    StoreDamagedError
        Where the bytes are no shard, or contradict themselves.
    """
    attribute, arrays, layout = unpack(data)
    if attribute.get("format") not in (FORMAT, ROUNDED_FORMAT):
        raise StoreDamagedError(f"a shard of format {attribute.get('format')!r}, expected {FORMAT} or {ROUNDED_FORMAT}")
    try:
        fingerprint = Fingerprint.from_json(attribute["fingerprint"])
        entry = _entry(data, layout, attribute)
        index = Index(arrays["digest"], arrays["status"], arrays["reason"])
        X = arrays["features"].astype(np.float32)
        rows = Rows(index.digests, X, index.status, texts(index.reasons))
    except (KeyError, ValueError, TypeError, FeaturesError, FingerprintMismatchError) as error:
        raise StoreDamagedError(f"no shard: {error}") from error
    claims = {
        "format": format_of(fingerprint),
        "key": fingerprint.key,
        "rows": len(rows),
        "dim": X.shape[1],
        "dtype": stored_dtype(fingerprint),
        "failed": int((rows.status != OK).sum()),
    }
    for name, value in claims.items():
        if attribute.get(name) != value:
            raise StoreDamagedError(f"a shard that says {name} {attribute.get(name)!r} and holds {value!r}")
    if entry.layout["features"].dtype != claims["dtype"] or X[rows.status != OK].any() or not np.isfinite(X).all():
        raise StoreDamagedError("a shard with features that its rows' status and precision do not allow")
    if len(np.unique(as_keys(rows.digests))) != len(rows):
        raise StoreDamagedError("a shard that has a row twice")
    return rows, fingerprint, entry


def parse_index(parts: list[bytes], entry: ShardEntry) -> Index:
    """Check and read the bytes of `entry.index_spans`.

    Raises
    ------
    StoreDamagedError
        Where they do not have the hash that the manifest says.
    """
    if hashlib.sha256(b"".join(parts)).hexdigest() != entry.index_sha256:
        raise StoreDamagedError("its rows are not those that were committed")
    digest, status, reason = (
        view(part, dataclasses.replace(entry.layout[name], offset=0))
        for part, name in zip(parts, ("digest", "status", "reason"), strict=True)
    )
    return Index(digest, status, reason)


def _entry(data: bytes | memoryview, layout: dict[str, Block], attribute: Mapping[str, Any]) -> ShardEntry:
    index = hashlib.sha256()
    for name in ("digest", "status", "reason"):
        index.update(view(data, layout[name]).tobytes())
    sha256 = hashlib.sha256(data).hexdigest()
    rows, dim = attribute["rows"], attribute["dim"]
    features = layout["features"]
    check = checksum(memoryview(data)[features.offset : features.offset + features.nbytes])
    provenance, version = attribute["provenance"], attribute["format"]
    return ShardEntry(sha256, len(data), rows, dim, index.hexdigest(), check, layout, provenance, version)


def _cut(reason: str) -> bytes:
    text = reason.replace("\0", "\\0").encode("utf-8", "backslashreplace")
    if len(text) > REASON_LIMIT:
        text = text[: REASON_LIMIT - 3].decode("utf-8", "ignore").encode() + b"..."
    return text
