"""How time and memory grow with rows, classes and width: scanning, extraction, reading, heads, leaks, advice, report.

    python benchmarks/bench_scale.py [--quick] [--works scan,read,logistic,...] [--axes rows,classes,width]
                                     [--limit SECONDS] [--folder DIR]

One axis grows at a time, the others stay: rows 5,000, 50,000 and 500,000 (10 classes, 512 wide), classes 10, 100 and
1,000 (20,000 rows, 512 wide), width 512, 2,048 and 25,088 (5,000 rows, 10 classes). `--quick` takes a sixteenth and
less of that, for minutes instead of hours. Features are planted, images are small and made here.

Every cell is a process of its own with a limit of time. Its seconds, those of the limit too, are the processor's, its
own and its children's, so that a neighbour on the machine changes them little; its memory is the most that it held
(`getrusage`) less what it held before the work, its features included. What is fitted is the exponent: 1 means twice as
much for twice as many. The last line is one JSON object. Exits with 1 where time or memory grow faster than rows x
width x classes (exponent 1 on each axis, and a margin), or a cell ran over its limit though its smaller neighbour says
it should not have.
"""

import argparse
import json
import math
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from featstore import FeatureSet, FeatureStore, ImageSet
from featstore.fingerprint import Fingerprint
from featstore.store.format.rows import Rows
from featstore.system.machine import usable_cores

HEADS = ("logistic", "svm", "centroid", "knn", "lightgbm", "mlp")
WORKS: dict[str, tuple[str, ...]] = {
    "scan": ("rows", "classes"),
    "extract": ("rows",),
    "read": ("rows", "width"),
    "stream": ("rows", "width"),
    **dict.fromkeys(HEADS, ("rows", "classes", "width")),
    "leaks": ("rows", "classes", "width"),
    "advise": ("rows", "classes", "width"),
    "report": ("rows", "classes"),
}
"""What is measured, and on which axes it may grow."""

FULL = {
    "rows": [(n, 10, 512) for n in (5_000, 50_000, 500_000)],
    "classes": [(20_000, k, 512) for k in (10, 100, 1_000)],
    "width": [(5_000, 10, d) for d in (512, 2_048, 25_088)],
}
QUICK = {
    "rows": [(n, 10, 128) for n in (1_000, 4_000, 16_000)],
    "classes": [(4_000, k, 128) for k in (10, 40, 160)],
    "width": [(2_000, 10, d) for d in (128, 512, 2_048)],
}
IMAGES_A_ROW = 20
"""Of an extraction a twentieth of the rows is computed, by a network of 32 pixels: per image it is all the same."""

MARGIN = 0.3
"""By which a fitted exponent may exceed what it must not: caches that no longer hold the data cost about that."""

SMALL_SECONDS, SMALL_BYTES = 0.1, 32 << 20
"""Less than that is start-up and noise; it says nothing about growth."""

PATIENCE = 20
"""Seconds by the clock for each second of the limit, which counts the processor's: the machine may be shared."""

FLAT = {("stream", "rows")}
"""Whose memory must not grow at all on that axis."""

FINGERPRINT = Fingerprint(
    backbone="resnet50", weights_sha256="0" * 64, node="avgpool", pool="avg", transform={"resize": 256, "crop": 224},
    decode={"version": 1}, precision="fp32", weights="planted",
)  # fmt: skip


# The inputs. Nothing here holds much more than the features themselves: it would count as memory of the work.


def labels(n: int, k: int) -> np.ndarray:
    return np.random.default_rng(1).permutation(np.arange(n) % k)


def blocks(n: int, k: int, d: int, step: int = 4096) -> Iterator[tuple[slice, np.ndarray]]:
    """Planted features, some rows at a time: class means in a few directions, and noise of many scales."""
    rng, y, rank = np.random.default_rng(0), labels(n, k), 64
    means = 0.4 * rng.standard_normal((k, rank), dtype=np.float32)
    mixing = rng.standard_normal((rank, d), dtype=np.float32) / np.float32(math.sqrt(rank))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        inner = means[y[rows]] + rng.standard_normal((rows.stop - start, rank), dtype=np.float32)
        X = inner @ mixing + 0.3 * rng.standard_normal((rows.stop - start, d), dtype=np.float32)
        yield rows, np.maximum(X, 0)


def digests(n: int) -> np.ndarray:
    return np.random.default_rng(2).integers(1, 256, (n, 32), dtype=np.uint8)


def parts(n: int) -> np.ndarray:
    return np.where(np.random.default_rng(3).random(n) < 0.2, "test", "train")


def names(n: int, k: int) -> tuple[bytes, ...]:
    return tuple(b"class%04d/%07d.jpg" % (c, i) for i, c in enumerate(labels(n, k).tolist()))


def planted(n: int, k: int, d: int) -> FeatureSet:
    X = np.empty((n, d), dtype=np.float32)
    for rows, block in blocks(n, k, d):
        X[rows] = block
    paths = names(n, k)
    return FeatureSet(
        X=X, y=labels(n, k), ids=tuple(path.decode() for path in paths),
        classes=tuple(f"class{c:04d}" for c in range(k)), splits=parts(n), digests=digests(n),
        fingerprint=FINGERPRINT, dataset="planted", root=b"/nowhere", paths=paths,
    )  # fmt: skip


def planted_store(place: Path, n: int, k: int, d: int) -> None:
    store = FeatureStore(place, create=True)
    store.put_imageset(
        ImageSet(
            name="planted", root=b"/nowhere", paths=names(n, k), digests=digests(n), sizes=np.full(n, 50_000),
            mtimes=np.arange(n, dtype=np.int64), labels=labels(n, k), splits=parts(n).astype("<U5"),
            classes=tuple(f"class{c:04d}" for c in range(k)), problems=("",) * n,
        )
    )  # fmt: skip
    D = digests(n)
    for rows, X in blocks(n, k, d):
        ok = np.zeros(len(X), dtype=np.uint8)
        store.commit(FINGERPRINT, Rows(D[rows], X, ok, ("",) * len(X)), {"engine": "planted"})


def pictures(place: Path, n: int, k: int) -> None:
    """Small PNG files, each with other bytes, in folders of classes."""
    import io

    from PIL import Image

    rng = np.random.default_rng(4)
    for c in range(k):
        (place / f"class{c:04d}").mkdir(parents=True)
    for i in range(n):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG", compress_level=1)
        (place / f"class{i % k:04d}" / f"{i:07d}.png").write_bytes(buffer.getvalue())


# The works. Each makes ready, then gives back what is measured.


def ready(work: str, n: int, k: int, d: int, folder: Path) -> Callable[[], Any]:
    """Make a cell's work ready."""
    place = folder / f"{work_input(work)}-{n}-{k}-{d}"
    if work == "scan":
        from featstore.discovery.scanning import scan

        return lambda: scan(place)
    if work == "extract":
        from featstore.extract import extract

        network = {"backbone": "resnet18", "weights": "none", "input_size": 32, "engine": "eager", "device": "cpu"}
        target = folder / f"extracted-{n}"
        return lambda: extract(place, target, workers=0, **network)
    if work == "read":
        store = FeatureStore(place)
        return lambda: store.read()
    if work == "stream":
        stream = FeatureStore(place).iter()
        return lambda: sum(float(X[0, 0]) for _, X in stream)
    if work == "advise":
        from classifiers.advice.advisor import advise

        return lambda: advise(FeatureStore(place), device="cpu", workers=0)
    if work == "report":
        from classifiers.report.report import Report

        report = Report.load(place)
        return lambda: report.write(folder / f"written-{n}-{k}-{d}")
    features = planted(n, k, d)
    if work == "leaks":
        from classifiers.leakage.duplicate_groups import find_duplicate_groups
        from classifiers.leakage.leaks import find_leaks
        from classifiers.validation.protocol import make_protocol

        protocol = make_protocol(features)
        return lambda: find_leaks(features, protocol, find_duplicate_groups(features))
    from classifiers import make_head

    head, rows, test = make_head(work), features.training(), features.testing()
    X, y, unseen = features.X[rows], features.y[rows], features.X[test]
    return lambda: head.fit(X, y).predict_proba(unseen)


def work_input(work: str) -> str:
    """What must be on disk before a work's process starts, "" for nothing."""
    inputs = {"scan": "pictures", "extract": "pictures", "read": "store", "stream": "store", "advise": "store"}
    return "judged" if work == "report" else inputs.get(work, "")


def prepare(kind: str, n: int, k: int, d: int, folder: Path) -> dict[str, float]:
    """Make what a work reads, once for all works that read it; called in a process of its own."""
    place = folder / f"{kind}-{n}-{k}-{d}"
    if kind == "pictures":
        pictures(place, n, k)
    elif kind == "store":
        planted_store(place, n, k, d)
    else:
        from classifiers import compare

        compare(planted(n, k, d), heads=("centroid",), references=False).write(place)
    return {}


def cell(work: str, n: int, k: int, d: int, folder: Path, limit: int) -> dict[str, float]:
    """Measure one work; called in a process of its own, which the system ends at its limit."""
    act = ready(work, n, k, d, folder)
    spent = math.ceil(processor_seconds())
    resource.setrlimit(resource.RLIMIT_CPU, (spent + limit, spent + limit + 5))
    held, before, began = resident(), processor_seconds(), time.perf_counter()
    act()
    wall, spent = time.perf_counter() - began, processor_seconds() - before
    peak = max(resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"cpu": spent, "wall": wall, "peak": peak, "grown": max(0, peak - held)}


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def resident() -> int:
    """Bytes in memory now; where the system does not tell, the most so far."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# The table.


def run(words: list[str], limit: int) -> dict[str, Any]:
    """A process of this file; what it says, or why it says nothing."""
    command = [sys.executable, __file__, *words, "--limit", str(limit)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {PATIENCE * limit:,} s by the clock"}
    if done.returncode == -signal.SIGXCPU:
        return {"over": limit}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {"failed": f"status {done.returncode}: {last[:200]}"}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def exponent(sizes: list[int], values: list[float], small: float) -> float | None:
    """The slope of log(value) over log(size), of values that are large enough to say something."""
    kept = [(math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True) if value >= small]
    if len(kept) < 2:
        return None
    return float(np.polyfit([x for x, _ in kept], [y for _, y in kept], 1)[0])


def shown(found: dict[str, Any]) -> str:
    if "over" in found:
        return f"over {found['over']:.0f} s"
    if "failed" in found:
        return "failed" if found["failed"] != "not tried" else "not tried"
    return f"{found['cpu']:.2f} s {found['grown'] / 1e6:,.0f} MB"


def measure(work: str, axis: str, sizes: list[tuple[int, int, int]], limit: int, folder: Path) -> dict[str, Any]:
    """The cells of one work on one axis, from small to large; one that is over its limit is the last one tried."""
    place = {"rows": 0, "classes": 1, "width": 2}[axis]
    cells: list[dict[str, Any]] = []
    for n, k, d in sizes:
        if work == "extract":
            n //= IMAGES_A_ROW
        words = [str(n), str(k), str(d), str(folder)]
        kind = work_input(work)
        if cells and not {"cpu"} <= set(cells[-1]):
            found: dict[str, Any] = {"failed": "not tried"}
        else:
            found = {}
            if kind and not (folder / f"{kind}-{n}-{k}-{d}").exists():
                found = run(["--prepare", kind, *words], limit)
            found = run(["--cell", work, *words], limit) if not {"over", "failed"} & set(found) else found
        cells.append({"size": (n, k, d)[place], **found})
    done = [one for one in cells if "cpu" in one]
    sizes_done = [one["size"] for one in done]
    result = {
        "work": work,
        "axis": axis,
        "cells": cells,
        "time_exponent": exponent(sizes_done, [one["cpu"] for one in done], SMALL_SECONDS),
        "memory_exponent": exponent(sizes_done, [one["grown"] for one in done], SMALL_BYTES),
    }
    return {**result, "faults": faults(result)}


def faults(result: dict[str, Any]) -> list[str]:
    """What of a row grows faster than it must."""
    found = []
    allowed = {"time": 1.0, "memory": 0.0 if (result["work"], result["axis"]) in FLAT else 1.0}
    for what, most in allowed.items():
        grown = result[f"{what}_exponent"]
        if grown is not None and grown > most + MARGIN:
            found.append(f"{what} of {result['work']} grows with {result['axis']} to the power {grown:.2f}")
    cells = result["cells"]
    for before, after in zip(cells, cells[1:], strict=False):
        if "cpu" in before and "over" in after:
            fair = before["cpu"] * (after["size"] / before["size"]) ** (1 + MARGIN)
            if before["cpu"] >= SMALL_SECONDS and fair < after["over"]:
                found.append(
                    f"{result['work']} with {after['size']:,} {result['axis']} is over {after['over']:.0f} s, where "
                    f"{before['size']:,} took {before['cpu']:.1f} s"
                )
    return found + [
        f"{result['work']} with {one['size']:,} {result['axis']} failed: {one['failed']}"
        for one in cells
        if one.get("failed", "not tried") != "not tried"
    ]


def table(results: list[dict[str, Any]]) -> None:
    for axis in ("rows", "classes", "width"):
        of_axis = [one for one in results if one["axis"] == axis]
        if not of_axis:
            continue
        sizes = max((one["cells"] for one in of_axis), key=lambda cells: cells[-1]["size"])
        print(f"\n{axis:10}" + "".join(f"{one['size']:>20,}" for one in sizes) + f"{'time ^':>8}{'memory ^':>10}")
        for one in of_axis:
            slopes = [one["time_exponent"], one["memory_exponent"]]
            told = [f"{slope:.2f}" if slope is not None else "-" for slope in slopes]
            cells = "".join(f"{shown(c):>20}" for c in one["cells"])
            print(f"{one['work']:10}{cells}{told[0]:>8}{told[1]:>10}{'  <-' if one['faults'] else ''}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, for minutes instead of hours")
    parser.add_argument("--works", default=",".join(WORKS), help="which, with commas")
    parser.add_argument("--axes", default="rows,classes,width", help="which, with commas")
    parser.add_argument("--limit", type=int, help="processor seconds a cell (default: 900, with --quick 60)")
    parser.add_argument("--folder", help="where to write (default: the system's temporary folder)")
    parser.add_argument("--cell", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare or options.cell:
        what, n, k, d, folder = options.prepare or options.cell
        given = (what, int(n), int(k), int(d), Path(folder))
        print(json.dumps(prepare(*given) if options.prepare else cell(*given, options.limit)))
        return 0
    if unknown := set(options.works.split(",")) - set(WORKS):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(WORKS)}")
    sizes, limit = (QUICK if options.quick else FULL), options.limit or (60 if options.quick else 900)
    folder = Path(tempfile.mkdtemp(prefix="featstore-scale-", dir=options.folder))
    results = []
    try:
        for axis in options.axes.split(","):
            for work in options.works.split(","):
                if axis in WORKS[work]:
                    results.append(measure(work, axis, sizes[axis], limit, folder))
                    print(f"{work} by {axis}: {', '.join(map(shown, results[-1]['cells']))}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table(results)
    wrong = [fault for one in results for fault in one["faults"]]
    for fault in wrong:
        print(f"grows too fast: {fault}")
    machine = {"cores": usable_cores(), "python": platform.python_version(), "numpy": np.__version__}
    print(json.dumps({"quick": options.quick, "limit": limit, **machine, "results": results, "faults": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
