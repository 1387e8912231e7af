"""An image set as one immutable HDF5 file: encode to bytes, decode from bytes.

The file begins with a sealed JSON head (an HDF5 user block, which HDF5 readers skip) that holds the hash of all that
follows and says where the arrays are. Texts of different lengths are one array of bytes and one of offsets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageSetError, StoreDamagedError
from featstore.images.image_set import ImageSet
from featstore.images.listing import Skipped
from featstore.store.format.container import Block, pack, view
from featstore.store.format.sealed import seal, unseal
from featstore.system.canonical_json import canonical_json

FORMAT, UNLABELLED_FORMAT = 1, 2
"""The format of image sets, and of those in which images have no label: older versions refuse these in words."""

HEAD = 4096
"""Bytes of the head."""

_TEXTS = ("path", "class", "part", "problem", "skipped_path", "skipped_reason")
_NUMBERS = {"digest": "|u1", "size": "<i8", "mtime": "<i8", "label": "<i8", "split": "|u1", "problem_row": "<i8"}
_SKIPPED_NUMBERS = {"skipped_size": "<i8", "skipped_mtime": "<i8"}


def encode_images(images: ImageSet) -> bytes:
    """Make an image set's file; equal sets give equal bytes.

    Raises
    ------
    ImageSetError
        Where the set has more than 256 different splits, or a name too long to be stored.
    """
    parts = sorted(set(images.splits.tolist()))
    if len(parts) > 256:
        raise ImageSetError(f"image set {images.name!r} has {len(parts)} different splits, expected at most 256")
    split = np.zeros(len(images), dtype="|u1")
    for code, part in enumerate(parts):
        split[images.splits == part] = code
    problem_rows = [row for row, problem in enumerate(images.problems) if problem]
    texts: dict[str, Sequence[bytes]] = {
        "path": images.paths,
        "class": [_bytes(name) for name in images.classes],
        "part": [_bytes(part) for part in parts],
        "problem": [_bytes(images.problems[row]) for row in problem_rows],
        "skipped_path": [s.path for s in images.skipped],
        "skipped_reason": [_bytes(s.reason) for s in images.skipped],
    }
    arrays: dict[str, NDArray[Any]] = {
        "digest": images.digests,
        "size": images.sizes.astype("<i8"),
        "mtime": images.mtimes.astype("<i8"),
        "label": images.labels.astype("<i8"),
        "split": split,
        "problem_row": np.array(problem_rows, dtype="<i8"),
        "skipped_size": np.array([s.size for s in images.skipped], dtype="<i8"),
        "skipped_mtime": np.array([s.mtime for s in images.skipped], dtype="<i8"),
        "root": np.frombuffer(images.root, dtype="|u1"),
        "name": np.frombuffer(_bytes(images.name), dtype="|u1"),
    }
    if images.groups:
        texts["group"] = [_bytes(group) for group in images.groups]
    if images.kinds:
        texts["kind"] = [_bytes(kind) for kind in sorted(set(images.kinds))]
        kind_code = {kind: number for number, kind in enumerate(sorted(set(images.kinds)))}
        arrays["kind_code"] = np.array([kind_code[kind] for kind in images.kinds], dtype="<i8")
    if images.about:
        arrays["about"] = np.frombuffer(canonical_json(dict(images.about)), dtype="|u1")
    for name, entries in texts.items():
        arrays[name] = np.frombuffer(b"".join(entries), dtype="|u1")
        arrays[f"{name}_offset"] = np.cumsum([0, *map(len, entries)], dtype="<i8")
    version = FORMAT if images.labelled().all() else UNLABELLED_FORMAT
    data, layout = pack(arrays, {"format": version, "kind": "images", "rows": len(images)}, head=HEAD)
    document = {
        "kind": "images",
        "rows": len(images),
        "body_sha256": hashlib.sha256(data[HEAD:]).hexdigest(),
        "layout": {name: block.to_json() for name, block in layout.items()},
    }
    head = seal(document, version)
    if len(head) > HEAD:
        raise ImageSetError(f"image set {images.name!r} is too large to be stored: its head has {len(head)} bytes")
    data[:HEAD] = head.ljust(HEAD, b" ")
    return bytes(data)


def decode_images(data: bytes, what: object) -> ImageSet:
    """Check every byte of an image set's file, then read it.

    Parameters
    ----------
    data : bytes
    what : object
        Named in messages, mostly the path.

    Raises
    ------
    StoreDamagedError
        Where a byte is not as it was written.
    StoreFormatError
        Where it was written by a newer version.
    """
    if len(data) < HEAD:
        raise StoreDamagedError(f"{what} is damaged: it ends after {len(data)} bytes; run `featstore repair`")
    document = unseal(data[:HEAD].rstrip(b" "), what, UNLABELLED_FORMAT)
    if hashlib.sha256(memoryview(data)[HEAD:]).hexdigest() != document.get("body_sha256"):
        raise StoreDamagedError(
            f"{what} is damaged: its bytes are not those that were committed; run `featstore repair`"
        )
    try:
        return _read(data, {name: Block.from_json(block) for name, block in document["layout"].items()})
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise StoreDamagedError(f"{what} holds no image set ({error!r}); run `featstore repair`") from error


def _read(data: bytes, layout: dict[str, Block]) -> ImageSet:
    arrays = {name: view(data, block) for name, block in layout.items()}
    for name, dtype in {**_NUMBERS, **_SKIPPED_NUMBERS}.items():
        if arrays[name].dtype.str != dtype:
            raise ImageSetError(f"{name} is {arrays[name].dtype}, expected {dtype}")
    texts = {name: _entries(arrays[name], arrays[f"{name}_offset"]) for name in _TEXTS}
    paths = texts["path"]
    problems = [""] * len(paths)
    for row, problem in zip(arrays["problem_row"].tolist(), texts["problem"], strict=True):
        problems[row] = _text(problem)
    groups = _entries(arrays["group"], arrays["group_offset"]) if "group" in arrays else ()
    kinds: list[str] = []
    if "kind" in arrays:
        names = [_text(kind) for kind in _entries(arrays["kind"], arrays["kind_offset"])]
        kinds = [names[code] for code in arrays["kind_code"].tolist()]
    parts = [_text(part) for part in texts["part"]]
    splits = np.array(parts, dtype="<U5" if all(len(part) <= 5 for part in parts) else None)[arrays["split"]]
    skipped = zip(
        texts["skipped_path"],
        map(_text, texts["skipped_reason"]),
        arrays["skipped_size"].tolist(),
        arrays["skipped_mtime"].tolist(),
        strict=True,
    )
    return ImageSet(
        name=_text(arrays["name"].tobytes()),
        root=arrays["root"].tobytes(),
        paths=paths,
        digests=arrays["digest"],
        sizes=arrays["size"],
        mtimes=arrays["mtime"],
        labels=arrays["label"],
        splits=splits,
        classes=tuple(map(_text, texts["class"])),
        problems=tuple(problems),
        skipped=tuple(Skipped(*entry) for entry in skipped),
        groups=tuple(map(_text, groups)),
        kinds=tuple(kinds),
        about=json.loads(arrays["about"].tobytes()) if "about" in arrays else {},
    )


def _entries(blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[bytes, ...]:
    if offsets.dtype.str != "<i8" or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(blob):
        raise ImageSetError("texts whose offsets do not span them")
    if (np.diff(offsets) < 0).any():
        raise ImageSetError("texts whose offsets go backwards")
    data, ends = blob.tobytes(), offsets.tolist()
    return tuple([data[a:b] for a, b in zip(ends, ends[1:], strict=False)])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # names that are no UTF-8 may hold lone surrogates


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
