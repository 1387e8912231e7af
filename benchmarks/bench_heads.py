"""Tuned heads against plain scikit-learn and LightGBM, in the same run: seconds, and test accuracy.

    python benchmarks/bench_heads.py [--parts logistic,svm,lightgbm,mlp,compare] [--data planted,cached] [--store DIR]
                                     [--runs 5] [--keep FILE]

Planted data have the shape of the Oxford Pets (3680 x 2048, 37 classes). Cached features are those of a store
(`--store`, and `--dataset` where it holds several), or of the real pictures and weights in FEATSTORE_TEST_DATA, which
are extracted first. Prints a table and, as its last line, one JSON object. Exits with 1 where a target is missed by
more than 15 %. Every baseline runs in a process of its own, which reports its own seconds. One that takes more than a
minute is measured once, and ended after `--cap` seconds: its ratio is then a lower bound (printed with >) and its
accuracy unknown. `--keep FILE` gathers the runs of several calls.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from classifiers import compare, make_head
from classifiers.heads.registry import DEFAULT
from classifiers.validation.protocol import make_protocol
from featstore import FeatureSet, FeatureStore
from featstore.fingerprint import Fingerprint

SLACK = 0.15
PARTS = ("logistic", "svm", "lightgbm", "mlp", "compare")
RATIOS = {"logistic": 5.0, "logistic, all 10 C": 5.0, "svm": 5.0, "lightgbm": 15.0}
"""How many times faster than its baseline a tuned head has to be, on the planted data."""
SECONDS = {"mlp": 8.0, "compare": 30.0}
LONG = 60.0
"""Seconds from which a work is measured once."""
POINTS = 0.003
"""Share of the test images by which a head may be less accurate than its baseline (or one image, or chance)."""
ROUNDS = 50


def planted(n: int, d: int, k: int, seed: int = 0, signal: float = 0.3) -> FeatureSet:
    """Classes planted in something like pooled features: correlated, of many scales, at least 0, sparse in places."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    rank = 160
    spread = np.linspace(1.0, 0.15, rank)
    inner = signal * rng.standard_normal((k, rank))[y] + rng.standard_normal((n, rank))
    X = (inner * spread) @ rng.standard_normal((rank, d)) / np.sqrt(rank) + 0.3 * rng.standard_normal((n, d))
    X = np.maximum(0.0, X - rng.uniform(-0.5, 0.9, d)) * rng.lognormal(-1.0, 0.6, d)
    test = rng.permutation(n) < n // 5
    ids = tuple(f"class{label:02d}/{i:05d}.jpg" for i, label in enumerate(y))
    return FeatureSet(
        X=X.astype(np.float32), y=y.astype(np.int64), ids=ids, classes=tuple(f"class{c:02d}" for c in range(k)),
        splits=np.where(test, "test", "train"), digests=rng.integers(0, 256, (n, 32), dtype=np.uint8),
        fingerprint=Fingerprint(backbone="resnet50", weights_sha256="0" * 64, node="avgpool", pool="avg",
                                transform={"crop": 224}, decode={"version": 1}, precision="fp32", weights="planted"),
        dataset="planted", root=b"/nowhere", paths=tuple(name.encode() for name in ids),
    )  # fmt: skip


def cached(options: argparse.Namespace, folder: str) -> FeatureSet | str:
    """Real features: of a store, or extracted here; or why there are none."""
    if options.store:
        return FeatureStore(options.store).read(options.dataset)
    shared = Path(os.environ.get("FEATSTORE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))
    pictures, weights = shared / "data" / "pets37x10", shared / "weights" / "mobilenet_v2-imagenet.pth"
    if not pictures.is_dir() or not weights.is_file():
        return f"no --store was given and {shared} holds no pictures and weights"
    from featstore.extract import extract

    extract(str(pictures), folder, backbone="mobilenet_v2", weights=str(weights), precision="fp32")
    return FeatureStore(folder).read()


@dataclass
class Timing:
    """Measurements of one work; no accuracy where it was ended."""

    seconds: list[float] = field(default_factory=list)
    accuracy: float | None = None


def alternate(runs: int, works: dict[str, Callable[[], tuple[float, float | None]]]) -> dict[str, Timing]:
    """Time each work `runs` times, in turn, after a warm-up; once where it takes minutes, which warm it up."""
    timings = {name: Timing() for name in works}
    for turn in range(runs + 1):
        for name, work in works.items():
            timing = timings[name]
            if timing.seconds and timing.seconds[0] > LONG:
                continue
            seconds, timing.accuracy = work()
            if turn or seconds > LONG:
                timing.seconds.append(seconds)
    return timings


def timed(work: Callable[[], float]) -> tuple[float, float | None]:
    """Seconds and result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def in_a_process(part: str, kind: str, options: argparse.Namespace, store: str) -> tuple[float, float | None]:
    """Seconds and accuracy of a part's baseline; the cap and None where it took longer."""
    own = [sys.executable, __file__, "--baseline", part, "--data", kind, "--store", store]
    sizes = [f"--rows={options.rows}", f"--dim={options.dim}", f"--classes={options.classes}"]
    own += sizes + (["--dataset", options.dataset] if options.dataset else [])
    try:
        done = subprocess.run(own, check=True, capture_output=True, text=True, timeout=options.cap)
    except subprocess.TimeoutExpired:
        return options.cap, None
    seconds, accuracy = json.loads(done.stdout.splitlines()[-1])
    return seconds, accuracy


def works_of(part: str, features: FeatureSet, place: Path) -> dict[str, Callable[[], float]]:
    """What a part measures, first the baseline where there is one; each returns its accuracy."""
    if part == "compare":

        def report() -> float:
            done = compare(features, DEFAULT)
            done.write(place)
            return float(done.data["runs"][done.data["best_run"]]["accuracy"])

        return {"ours": report}
    protocol = make_protocol(features)
    (train, test), folds = protocol.outer[0], protocol.inner[0]
    X, y = features.X[train], features.y[train]
    X_test, y_test = features.X[test], features.y[test]

    def ours(**params: Any) -> float:
        return float((make_head(part, cv=folds, **params).fit(X, y).predict(X_test) == y_test).mean())

    def logistic() -> float:
        head = LogisticRegressionCV(Cs=10, cv=folds, max_iter=100, use_legacy_attributes=False, scoring="accuracy",
                                    l1_ratios=(0,))  # fmt: skip
        return float(make_pipeline(StandardScaler(), head).fit(X, y).score(X_test, y_test))

    def svm() -> float:
        return float(make_pipeline(StandardScaler(), LinearSVC()).fit(X, y).score(X_test, y_test))

    def trees() -> float:
        head = lightgbm.LGBMClassifier(n_estimators=ROUNDS, verbose=-1)
        return float((np.asarray(head.fit(X, y).predict(X_test)) == y_test).mean())

    if part == "logistic":
        return {"baseline": logistic, "ours": ours, "ours, all 10 C": lambda: ours(patience=0)}
    if part == "mlp":
        return {"ours": ours}
    return {"baseline": {"svm": svm, "lightgbm": trees}[part], "ours": ours}


def judge(part: str, data: str, timings: dict[str, Timing], n: int) -> list[dict[str, Any]]:
    """One row of the table a candidate: what was measured, what was wanted, whether it was missed."""
    rows: list[dict[str, Any]] = []
    baseline = timings.get("baseline")
    for name, timing in timings.items():
        if timing is baseline or timing.accuracy is None:
            continue
        label, seconds = part + name.removeprefix("ours"), statistics.median(timing.seconds)
        row: dict[str, Any] = {"part": label, "data": data, "seconds": seconds, "accuracy": timing.accuracy,
                                  "runs": len(timing.seconds)}  # fmt: skip
        missed = []
        if baseline is not None:
            theirs, wanted = statistics.median(baseline.seconds), RATIOS[label] if data == "planted" else None
            row |= {"baseline_seconds": theirs, "baseline_accuracy": baseline.accuracy, "ratio": theirs / seconds,
                    "target_ratio": wanted, "baseline_runs": len(baseline.seconds)}  # fmt: skip
            missed += ["ratio"] if wanted and theirs / seconds < wanted * (1 - SLACK) else []
            # Of a few test images, chance takes more than the points that are allowed: one standard error of a share.
            allowed = max(POINTS, 1 / n, float(np.sqrt(0.25 / n)) if n < 300 else 0.0)
            worse = baseline.accuracy is not None and timing.accuracy < baseline.accuracy - allowed - 1e-9
            missed += ["accuracy"] if worse else []
        elif data == "planted":
            row["target_seconds"] = SECONDS[label]
            missed += ["seconds"] if seconds > SECONDS[label] * (1 + SLACK) else []
        rows.append(row | {"missed": missed})
    return rows


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    ours, tail, theirs = f"{row['seconds']:.2f} s {100 * row['accuracy']:.1f} %", "", "-"
    if "ratio" in row:
        ended = row["baseline_accuracy"] is None
        theirs = f"{row['baseline_seconds']:.2f} s " + ("ended" if ended else f"{100 * row['baseline_accuracy']:.1f} %")
        wanted = f"{row['target_ratio']:.0f}x" if row["target_ratio"] else "-"
        tail = f"{'>' if ended else ''}{row['ratio']:.1f}x{wanted:>7}"
    elif "target_seconds" in row:
        tail = f"{row['target_seconds']:.0f} s"
    missed = ", ".join(row["missed"]) or "ok"
    print(f"{row['data']:<9}{row['part']:<21}{theirs:>19}{ours:>19}{tail:>16}   {missed}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, with commas (default: everything)")
    parser.add_argument("--data", default="planted,cached", help="planted, cached or both (default)")
    parser.add_argument("--store", help="a feature store with real features")
    parser.add_argument("--dataset", help="its image set, where it holds several")
    parser.add_argument("--runs", type=int, default=5, help="measurements of each, after a warm-up")
    parser.add_argument("--keep", type=Path, help="JSON file that gathers the measurements of several calls")
    parser.add_argument("--cap", type=float, default=400.0, help="seconds after which a baseline is ended")
    parser.add_argument(
        "--baseline", metavar="PART", help="run the baseline of one part once, and print seconds and accuracy"
    )
    parser.add_argument("--rows", type=int, default=4600, help="planted images; a fifth of them is the test part")
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=37)
    options = parser.parse_args()
    parts, kinds = options.parts.split(","), options.data.split(",")
    if not set(parts) <= set(PARTS) or not set(kinds) <= {"planted", "cached"}:
        parser.error(f"--parts takes {', '.join(PARTS)}; --data takes planted, cached")
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"scikit-learn": sklearn.__version__, "lightgbm": lightgbm.__version__, "torch": torch.__version__}
    machine = f"{cores} cores, Python {platform.python_version()}, {versions}"
    if not options.baseline:
        print(f"{machine}, {time.strftime('%Y-%m-%d')}")
        print(f"{'data':<9}{'part':<21}{'baseline':>19}{'ours, tuned':>19}{'ratio':>9}{'target':>7}", flush=True)
    kept: dict[str, dict[str, list[float]]] = {}
    if options.keep and options.keep.exists():
        kept = json.loads(options.keep.read_text("utf-8"))
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="featstore-bench-") as folder:
        for kind in kinds:
            features = planted(options.rows, options.dim, options.classes) if kind == "planted" else cached(
                options, folder + "/store"
            )  # fmt: skip
            if isinstance(features, str):
                print(f"cached   left out: {features}")
                continue
            if options.baseline:
                print(json.dumps(timed(works_of(options.baseline, features, Path(folder))["baseline"])))
                return 0
            judged = len(make_protocol(features).judged)
            for part in parts:
                works: dict[str, Callable[[], tuple[float, float | None]]] = {}
                for name, work in works_of(part, features, Path(folder) / f"report-{kind}").items():
                    works[name] = partial(timed, work)
                    if name == "baseline":
                        works[name] = partial(in_a_process, part, kind, options, options.store or folder + "/store")
                timings = alternate(options.runs, works)
                mine = kept.setdefault(f"{kind} {part} {len(features)} {machine}", {})
                for name, timing in timings.items():
                    mine[name] = timing.seconds = [*mine.get(name, []), *timing.seconds]
                if options.keep:
                    options.keep.write_text(json.dumps(kept), "utf-8")
                for row in judge(part, kind, timings, judged):
                    show(row)
                    results.append(row)
    missed = [f"{row['data']} {row['part']}" for row in results if row["missed"]]
    ratios = {f"{row['data']} {row['part']}": round(row["ratio"], 2) for row in results if "ratio" in row}
    print(json.dumps({"benchmark": "heads", "cores": cores, "versions": versions, "ratios": ratios, "results": results,
                      "missed": missed}))  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
