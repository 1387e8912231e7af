"""A comparison of pixels, kept in the user's cache for the next command that asks for the same one.

`compare`, `advise` and `finetune` look for copies in the same data set, one after the other, and the pictures are what
takes the time: they are read, laid on each other, refined. What was found depends on the bytes of the images, on the
candidates, on the labels and on the code, and on nothing else; so it is kept under all of them and found again while
none has changed. An entry that is lost, damaged or written by other code costs one comparison.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np

from classifiers import linalg
from classifiers.leakage.candidate_pairs import CandidatePairs
from classifiers.leakage.compared_pairs import ComparedPairs
from featstore.decoding.pixels import decode
from featstore.features import FeatureSet
from featstore.system.user_cache import entry_path, keep_within, read_entry, renew_entry, write_entry

FOLDER = "copies"
"""Of the user's cache folder."""

_BYTES = 100_000_000  # of entries that are kept; those that were not asked for the longest go
_LIBRARIES = ("featstore", "numpy", "pillow", "scipy", "torch")


def kept_comparison(features: FeatureSet, near: CandidatePairs, *, seed: int = 0) -> ComparedPairs | None:
    """What `keep_comparison` kept of the same images, candidates, labels and code; None where there is nothing.

    Parameters
    ----------
    features : FeatureSet
    near : CandidatePairs
        Rows of `features`.
    seed : int
        As of `compared_pairs.compare_pairs`.

    Examples
    --------
    See `keep_comparison`.
    """
    try:
        place = _place(features, near, seed)
        entry, _ = read_entry(place)
        if entry is None:
            return None
        found = entry.document
        m, rows = len(near.pairs), np.array(found["confirmed"], dtype=np.int64)
        confirmed, copies = np.zeros(m, dtype=np.bool_), np.zeros(m, dtype=np.bool_)
        confirmed[rows], copies[np.array(found["copies"], dtype=np.int64)] = True, True
        kinds = np.full(m, "", dtype=object)
        kinds[rows] = found["kinds"]
        counts = {name: int(found[name]) for name in ("compared", "blank", "usual")}
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    renew_entry(place)
    return ComparedPairs(confirmed, copies, tuple(kinds.tolist()), **counts, unread=())


def keep_comparison(features: FeatureSet, near: CandidatePairs, seen: ComparedPairs, *, seed: int = 0) -> None:
    """Keep what comparing candidates brought, where all of their pictures could be read.

    A cache folder that cannot be written is no failure.

    Parameters
    ----------
    features : FeatureSet
    near : CandidatePairs
    seen : ComparedPairs
        Of `near`.
    seed : int

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> pets = FeatureSet(
    ...     X=np.eye(4, 8, dtype=np.float32), y=np.arange(4) % 2, ids=("a", "b", "c", "d"), classes=("cat", "dog"),
    ...     splits=np.full(4, ""), digests=np.arange(128, dtype=np.uint8).reshape(4, 32), fingerprint=made,
    ...     dataset="pets", root=b"/pets", paths=(b"a", b"b", b"c", b"d"),
    ... )
    >>> one = np.ones(1, dtype=bool)
    >>> near = CandidatePairs(np.array([[0, 2]]), np.ones(1, np.float32), one, one, one)
    >>> keep_comparison(pets, near, ComparedPairs(one, one, ("mirrored",), 1, 0, 0, ()))
    >>> kept_comparison(pets, near).kinds
    ('mirrored',)
    >>> kept_comparison(pets, near, seed=1) is None
    True
    """
    if seen.unread:
        return  # what could be read may change
    rows = np.flatnonzero(seen.confirmed).tolist()
    document = {
        "confirmed": rows,
        "copies": np.flatnonzero(seen.copies).tolist(),
        "kinds": [seen.kinds[row] for row in rows],
        "compared": seen.compared,
        "blank": seen.blank,
        "usual": seen.usual,
    }
    if write_entry(_place(features, near, seed), document):
        keep_within(FOLDER, _BYTES)


def _place(features: FeatureSet, near: CandidatePairs, seed: int) -> Path:
    """The file of an entry; features follow from the key of their network and the bytes of the images."""
    whole = hashlib.sha256()
    for part in (features.digests, features.y, near.pairs, near.closest, near.sure):
        whole.update(np.ascontiguousarray(part).tobytes())
    depends = {
        "features": features.fingerprint.key,
        "rows": len(features),
        "arrays": whole.hexdigest(),
        "seed": seed,
        "versions": {name: version(name) for name in _LIBRARIES},
        "decode": decode.RULES,
        "code": _code(),
    }
    return entry_path(FOLDER, depends)


@functools.cache
def _code() -> str:
    """The hash of this room's modules and of those in it: no rule of comparing changes without them."""
    whole = hashlib.sha256()
    for path in [Path(linalg.__file__), *sorted(Path(__file__).parent.rglob("*.py"))]:
        whole.update(path.read_bytes())
    return whole.hexdigest()
