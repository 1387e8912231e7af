"""The feature store against plain NumPy files, in the same run: reading with every hash checked, committing, and what a
repeated extraction asks of it.

    python benchmarks/bench_store.py [--rows 25000] [--dim 2048] [--runs 5] [--folder DIR]

Prints a table and, as its last line, one JSON object. Exits with 1 where a target is missed by more than 15 %.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from featstore import FeatureStore, ImageSet
from featstore.fingerprint import Fingerprint
from featstore.store.format.rows import Rows

SLACK = 0.15
LOOKUP_MICROSECONDS = 5.0
READ_RATIO = 0.70
COMMIT_RATIO = 0.15

FINGERPRINT = Fingerprint(
    backbone="resnet50",
    weights_sha256="0" * 64,
    node="avgpool",
    pool="avg",
    transform={"resize": 256, "crop": 224},
    decode={"version": 1},
    precision="fp32",
    weights="random (seed 0)",
)


def image_set(digests: np.ndarray) -> ImageSet:
    n = len(digests)
    return ImageSet(
        name="bench",
        root=b"/images",
        paths=tuple(b"train/class%02d/image_%06d.jpg" % (i * 37 // n, i) for i in range(n)),
        digests=digests,
        sizes=np.full(n, 50_000, dtype=np.int64),
        mtimes=np.arange(n, dtype=np.int64),
        labels=np.arange(n, dtype=np.int64) * 37 // n,
        splits=np.full(n, "train", dtype="<U5"),
        classes=tuple(f"class{i:02d}" for i in range(37)),
        problems=("",) * n,
    )


def rows(digests: np.ndarray, X: np.ndarray, start: int, stop: int) -> Rows:
    count = stop - start
    return Rows(digests[start:stop], X[start:stop], np.zeros(count, dtype=np.uint8), ("",) * count)


def save_synced(path: Path, X: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, X)
        file.flush()
        os.fsync(file.fileno())


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternate(runs: int, **works) -> dict[str, float]:
    """Median seconds of each, run in turn, after one warm-up."""
    taken = {name: [] for name in works}
    for turn in range(runs + 1):
        for name, work in works.items():
            spent = seconds(work)
            if turn:
                taken[name].append(spent)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--images", type=int, default=100_000, help="images of the repeated extraction")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", help="where to write (default: the system's temporary folder)")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="featstore-bench-", dir=options.folder))
    try:
        return measure(place, options)
    finally:
        shutil.rmtree(place)


def measure(place: Path, options: argparse.Namespace) -> int:
    rng = np.random.default_rng(0)
    X = rng.random((options.rows, options.dim), dtype=np.float32)
    digests = rng.integers(0, 256, (options.rows, 32), dtype=np.uint8)
    megabytes = X.nbytes / 1e6

    store = FeatureStore(place / "store", create=True)
    store.put_imageset(image_set(digests))
    for start in range(0, options.rows, 1024):
        store.commit(FINGERPRINT, rows(digests, X, start, min(start + 1024, options.rows)), {"engine": "bench"})
    np.save(place / "X.npy", X)
    assert np.array_equal(FeatureStore(place / "store").read().X, X)
    reading = alternate(
        options.runs,
        numpy=lambda: np.load(place / "X.npy"),
        store=lambda: FeatureStore(place / "store").read(),
    )

    part = min(1024, options.rows)
    turn = iter(range(1 << 30))
    committing = alternate(
        options.runs,
        numpy=lambda: save_synced(place / f"part{next(turn)}.npy", X[:part]),
        store=lambda: store.commit(
            FINGERPRINT,
            rows(rng.integers(0, 256, (part, 32), dtype=np.uint8), X, 0, part),
            {"engine": "bench"},
        ),
    )

    images = image_set(rng.integers(0, 256, (options.images, 32), dtype=np.uint8))
    narrow = np.zeros((options.images, 1), dtype=np.float32)
    many = FeatureStore(place / "many", create=True)
    many.put_imageset(images)
    many.commit(FINGERPRINT, rows(images.digests, narrow, 0, options.images), {"engine": "bench"})

    def repeat() -> None:
        again = FeatureStore(place / "many")
        assert again.imageset("bench").paths and not again.put_imageset(images)
        assert not again.missing(FINGERPRINT, images.digests).any()

    lookup = alternate(options.runs, repeat=repeat)["repeat"] / options.images * 1e6

    results = {
        "read_ratio": reading["numpy"] / reading["store"],
        "commit_ratio": committing["numpy"] / committing["store"],
        "lookup_microseconds": lookup,
    }
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
    print(f"{machine}, {time.strftime('%Y-%m-%d')}")
    print(f"{'':<52}{'NumPy':>10}{'store':>10}{'ratio':>8}{'target':>8}")
    for name, taken, ratio, target in (
        (
            f"read {options.rows} x {options.dim} ({megabytes:.0f} MB), hashes checked",
            reading,
            "read_ratio",
            READ_RATIO,
        ),
        (f"commit {part} x {options.dim}, synced", committing, "commit_ratio", COMMIT_RATIO),
    ):
        cells = f"{taken['numpy'] * 1e3:>7.0f} ms{taken['store'] * 1e3:>7.0f} ms"
        print(f"{name:<52}{cells}{results[ratio]:>8.2f}{target:>8.2f}")
    print(f"{f'repeated extraction of {options.images} images, the store alone':<52}{'':>10}{lookup:>7.2f} us an image")
    missed = [name for name, target in (("read_ratio", READ_RATIO), ("commit_ratio", COMMIT_RATIO))
              if results[name] < target * (1 - SLACK)]  # fmt: skip
    missed += ["lookup_microseconds"] if lookup > LOOKUP_MICROSECONDS * (1 + SLACK) else []
    print(json.dumps({"benchmark": "store", "cores": os.cpu_count(), **results, "missed": missed}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
