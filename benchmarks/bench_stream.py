"""Heads on features that do not fit in memory: passes, seconds over plain reading, memory, and what they lose.

    python benchmarks/bench_stream.py [--rows 1000000] [--dim 1024] [--classes 100] [--limit-mb 1500] [--sample 100000]
                                      [--heads logistic,svm,lightgbm,mlp,centroid] [--folds 3] [--folder DIR]

Plants a store of that size (4 GB by default), compares the heads in a process whose memory is watched and which is
ended where it takes more than the limit, and each head with itself in memory on a sample of the rows, judged by
the same test images. Prints a table and, as its last line, one JSON object. Exits with 1 where a head loses more than
0.5 points, logistic takes more than 40 passes, or the process more memory than the limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from featstore import FeatureStore, ImageSet
from featstore.fingerprint import Fingerprint
from featstore.store.format.rows import Rows

POINTS = 0.005
PASSES = 40
BLOCK = 20_000
FINGERPRINT = Fingerprint(
    backbone="resnet50", weights_sha256="0" * 64, node="avgpool", pool="avg", transform={"crop": 224},
    decode={"version": 1}, precision="fp32", weights="planted",
)  # fmt: skip


def digests(start: int, stop: int) -> np.ndarray:
    """Different bytes for every row."""
    made = np.random.default_rng(7).integers(0, 256, (stop - start, 32), dtype=np.uint8)
    made[:, :8] = np.arange(start, stop, dtype=np.int64).view(np.uint8).reshape(-1, 8)
    return made


def plant(folder: str, n: int, d: int, k: int) -> None:
    """Classes in correlated features of many scales, at least 0, one class after the other as folders list them."""
    rng = np.random.default_rng(0)
    rank = min(d, 160)
    centres = 0.35 * rng.standard_normal((k, rank))
    mix = (np.linspace(1.0, 0.15, rank)[:, None] * rng.standard_normal((rank, d)) / np.sqrt(rank)).astype(np.float32)
    floor, scale = rng.uniform(-0.5, 0.9, d), rng.lognormal(-1.0, 0.6, d)
    labels = np.sort(np.arange(n) % k)
    splits = np.where(np.random.default_rng(1).random(n) < 0.1, "test", "train").astype("<U5")
    store = FeatureStore(folder, create=True)
    store.put_imageset(
        ImageSet(
            name="planted", root=b"/nowhere", paths=tuple(b"%03d/%07d.jpg" % (labels[i], i) for i in range(n)),
            digests=np.concatenate([digests(at, min(at + BLOCK, n)) for at in range(0, n, BLOCK)]),
            sizes=np.full(n, 50_000, dtype=np.int64), mtimes=np.arange(n, dtype=np.int64),
            labels=labels.astype(np.int64), splits=splits, classes=tuple(f"class{i:03d}" for i in range(k)),
            problems=("",) * n,
        )
    )  # fmt: skip
    for at in range(0, n, BLOCK):
        stop = min(at + BLOCK, n)
        inner = (centres[labels[at:stop]] + rng.standard_normal((stop - at, rank))).astype(np.float32)
        X = inner @ mix + 0.3 * rng.standard_normal((stop - at, d), dtype=np.float32)
        X = (np.maximum(0.0, X - floor) * scale).astype(np.float32)
        found = Rows(digests(at, stop), X, np.zeros(stop - at, dtype=np.uint8), ("",) * (stop - at))
        store.commit(FINGERPRINT, found, {"engine": "none", "versions": {}})


def child(store: str, out: str, heads: str, folds: int, limit: int) -> None:
    """Plain reading, then the comparison; both in one process, as a user's would be."""
    from classifiers.comparison.streamed_job import compare_streamed

    stream = FeatureStore(store).iter()
    began = time.perf_counter()
    for _ in stream.chunks(order="stored"):
        pass
    reading = time.perf_counter() - began
    began = time.perf_counter()
    held = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    report = compare_streamed(
        stream, heads.split(","), folds=folds, memory=limit - held, said=lambda text: print(text, flush=True),
        progress=lambda stage, done, total, note: None,
    )  # fmt: skip
    taken = time.perf_counter() - began
    report.write(Path(out))
    Path(out, "times.json").write_text(json.dumps({"reading": reading, "seconds": taken}))


def watched(command: list[str], limit: int) -> tuple[int, int]:
    """Exit status of a process and the most memory it had; it is ended past the limit."""
    process, most = subprocess.Popen(command), 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            lines = [line.split() for line in status.splitlines() if line.startswith(("RssAnon", "RssShmem"))]
            most = max(most, sum(int(line[1]) for line in lines) * 1024)
        except OSError:
            pass
        if most > limit:
            process.kill()
        time.sleep(0.05)
    return process.returncode, most


def in_memory(store: str, heads: list[str], folds: int, sample: int) -> dict[str, float]:
    """Test accuracy of each head fitted in memory to a sample of the training rows."""
    from classifiers import make_head

    stream = FeatureStore(store).iter()
    rng = np.random.default_rng(3)
    train, test = stream.training(), stream.testing()
    chosen = np.sort(rng.choice(train, min(sample, len(train)), replace=False))
    part, found = stream.subset(chosen).read(), {}
    for name in heads:
        head = make_head(name, cv=folds).fit(part.X, part.y)
        hits = 0
        for rows, X in stream.subset(test).chunks(order="stored"):
            hits += int((head.predict(X) == stream.y[test[rows]]).sum())
        found[name] = hits / len(test)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--limit-mb", type=int, default=1500)
    parser.add_argument("--sample", type=int, default=100_000)
    parser.add_argument("--heads", default="logistic,svm,lightgbm,mlp,centroid")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--folder", help="where the store is planted; kept and used again")
    parser.add_argument("--child", nargs=2, metavar=("STORE", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child, options.heads, options.folds, options.limit_mb * 1_000_000)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        store = options.folder or f"{scratch}/store"
        if not Path(store).exists():
            plant(store, options.rows, options.dim, options.classes)
        out = f"{scratch}/report"
        Path(out).mkdir()
        same = ["--heads", options.heads, "--folds", str(options.folds), "--limit-mb", str(options.limit_mb)]
        command = [sys.executable, __file__, "--child", store, out, *same]
        status, most = watched(command, options.limit_mb * 1_000_000)
        if status:
            print(f"the comparison ended with {status}; it had {most / 1e6:.0f} MB of {options.limit_mb} MB")
            return 1
        data = json.loads(Path(out, "report.json").read_text())
        times = json.loads(Path(out, "times.json").read_text())
        memory = in_memory(store, options.heads.split(","), options.folds, options.sample)
    print(f"{options.rows:,} x {options.dim}, {options.classes} classes, {options.folds} folds")
    print(
        f"most memory {most / 1e6:.0f} MB; plain reading {times['reading']:.1f} s; compared in {times['seconds']:.0f} s"
    )
    print(f"{'head':10}{'streamed':>10}{'in memory':>11}{'passes':>8}{'seconds':>9}{'/ reading':>11}")
    result = {"peak_mb": most / 1e6, "reading_seconds": times["reading"], "seconds": times["seconds"], "heads": {}}
    missed = []
    for run in data["runs"]:
        if run["reference"]:
            continue
        name, passes = run["head"], run["certificate"].get("passes")
        spent = run["search_seconds"] + run["fit_seconds"]
        print(
            f"{name:10}{run['accuracy']:10.4f}{memory[name]:11.4f}{passes or 'sample':>8}{spent:9.1f}"
            f"{spent / times['reading']:11.1f}"
        )
        result["heads"][name] = {"streamed": run["accuracy"], "in_memory": memory[name], "passes": passes,
                                 "seconds": spent}  # fmt: skip
        if run["accuracy"] < memory[name] - POINTS:
            missed.append(f"{name} loses {100 * (memory[name] - run['accuracy']):.2f} points")
        if name == "logistic" and passes > PASSES:
            missed.append(f"logistic took {passes} passes")
    missed += [f"{one['head']}: {one['reason']}" for one in data["omitted"]]
    for line in missed:
        print(f"MISSED: {line}")
    print(json.dumps(result | {"missed": missed}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
