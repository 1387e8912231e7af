"""Sealed documents: JSON that carries its own hash, in one spelling only, so that any changed byte is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from featstore.errors import StoreDamagedError, StoreFormatError
from featstore.system.canonical_json import canonical_json

FORMAT = 1
"""The newest store format that this version reads, and the one that it writes, but for the image sets of
`featstore.store.format.image_file` and the rounded features of `featstore.store.format.shard`."""


def seal(document: Mapping[str, Any], version: int = FORMAT) -> bytes:
    """Canonical JSON with the format number, the field `sha256` over the canonical JSON of all others, and a newline.

    Parameters
    ----------
    document : mapping
        JSON-able, without `format` and `sha256`.
    version : int
        The format number.

    Examples
    --------
    >>> seal({"rows": 3})[:20]
    b'{"format":1,"rows":3'
    >>> unseal(seal({"rows": 3}), "an example")
    {'rows': 3}
    """
    # Each field is spelt once: a manifest lists every shard, and each commit seals one and checks another.
    fields = {name: canonical_json(value) for name, value in {**document, "format": version}.items()}
    sha256 = hashlib.sha256(_spelt(fields)).hexdigest()
    return _spelt({**fields, "sha256": canonical_json(sha256)}) + b"\n"


def unseal(data: bytes, what: object, newest: int = FORMAT) -> dict[str, Any]:
    """Check and parse a sealed document.

    Parameters
    ----------
    data : bytes
    what : object
        Named in messages, mostly the path.
    newest : int
        The newest format of such documents that is understood.

    Raises
    ------
    StoreFormatError
        Where it was written by a newer version.
    StoreDamagedError
        Where a byte is not as it was written.

    Examples
    --------
    >>> unseal(seal({"rows": 3, "failed": 0}), "an example")
    {'failed': 0, 'rows': 3}
    """
    try:
        document = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StoreDamagedError(f"{what} is damaged (no JSON document); run `featstore repair`") from error
    if not isinstance(document, dict):
        raise StoreDamagedError(f"{what} is damaged (no JSON object); run `featstore repair`")
    version = document.get("format")
    body = {name: value for name, value in document.items() if name not in ("sha256", "format")}
    known = range(1, newest + 1)
    newer = type(version) is int and version > newest
    if newer and not any(_sealed_as(body, older, document.get("sha256")) for older in known):
        raise StoreFormatError(
            f"{what} has format {version}; this featstore reads up to format {newest}: upgrade with "
            f"`pip install --upgrade featstore`"
        )
    try:
        intact = type(version) is int and version in known and seal(body, version) == data
    except (ValueError, RecursionError):
        intact = False
    if not intact:
        raise StoreDamagedError(
            f"{what} is damaged (its bytes do not have the hash written in it); run `featstore repair`"
        )
    return body


def _spelt(fields: Mapping[str, bytes]) -> bytes:
    """The canonical JSON of a document from that of its fields."""
    return b"{" + b",".join(canonical_json(name) + b":" + fields[name] for name in sorted(fields)) + b"}"


def _sealed_as(body: Mapping[str, Any], version: int, sha256: object) -> bool:
    """Whether the hash is that of another format's document: then the format number itself is what changed."""
    try:
        return hashlib.sha256(canonical_json({**body, "format": version})).hexdigest() == sha256
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
