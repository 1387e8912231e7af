"""Small real inputs for the tests of the store."""

import hashlib

import numpy as np

from featstore.fingerprint import Fingerprint
from featstore.images.image_set import ImageSet, Skipped
from featstore.store.format.rows import FAILED, OK, Rows

PROVENANCE = {"engine": "eager", "versions": {"torch": "2.15"}}


def fingerprint(**changes) -> Fingerprint:
    fields = {
        "backbone": "resnet18",
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
        "node": "avgpool",
        "pool": "avg",
        "transform": {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406]},
        "decode": {"version": 1},
        "precision": "fp32",
        "weights": "IMAGENET1K_V1",
    }
    return Fingerprint(**{**fields, **changes})


def digests(names) -> np.ndarray:
    """SHA-256 of each name, (n, 32)."""
    raw = b"".join(hashlib.sha256(str(name).encode()).digest() for name in names)
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 32).copy()


def features(names, dim=8, salt="") -> np.ndarray:
    """Numbers that depend on the name alone."""
    X = [np.random.default_rng(abs(int(hashlib.md5(f"{n}{salt}".encode()).hexdigest(), 16))).random(dim) for n in names]
    return np.array(X, dtype=np.float32).reshape(len(X), dim)


def rows(names, dim=8, failed=(), status=FAILED, salt="") -> Rows:
    """Rows of images called `names`, those in `failed` without features."""
    names = list(names)
    bad = np.array([name in failed for name in names], dtype=bool)
    X = features(names, dim, salt)
    X[bad] = 0
    reasons = tuple(f"{name} cannot be decoded" if b else "" for name, b in zip(names, bad, strict=True))
    return Rows(digests(names), X, np.where(bad, status, OK).astype(np.uint8), reasons)


def images(names, name="pets", splits=None, problems=(), **changes) -> ImageSet:
    """An image set in the order of `names`, two classes in turn."""
    names = list(names)
    n = len(names)
    D = digests(names)
    D[[i for i, x in enumerate(names) if x in problems]] = 0
    fields = {
        "name": name,
        "root": b"/data/pets",
        "paths": tuple(f"{'ab'[i % 2]}/{x}.jpg".encode() for i, x in enumerate(names)),
        "digests": D,
        "sizes": np.arange(n, dtype=np.int64) + 1000,
        "mtimes": np.arange(n, dtype=np.int64) + 10**18,
        "labels": np.arange(n, dtype=np.int64) % 2,
        "splits": np.array(splits if splits is not None else [""] * n, dtype="<U5"),
        "classes": ("a", "b"),
        "problems": tuple("permission denied" if x in problems else "" for x in names),
        "skipped": (Skipped(b"notes.txt", "no image", 12, 34),),
    }
    return ImageSet(**{**fields, **changes})


def tree(folder) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: bytes and modification time."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}
