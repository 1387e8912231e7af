"""Tuned heads against plain scikit-learn and LightGBM, in the same run: seconds, and test accuracy.

    python benchmarks/bench_heads.py [--parts logistic,svm,lightgbm,mlp,compare] [--data planted,cached] [--store DIR]
                                     [--runs 5] [--keep FILE]

Planted data have the shape of the Oxford Pets (3680 x 2048, 37 classes). Cached features are those of a store
(`--store`, and `--dataset` where it holds several), or of the real pictures and weights in FEATSTORE_TEST_DATA, which
are extracted first. Prints a table and, as its last line, one JSON object. Exits with 1 where a target is missed by
more than 15 %. LightGBM on raw features takes minutes a fit: choose parts, and let `--keep FILE` gather the runs of
several calls.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from classifiers import compare, make_head
from classifiers.heads import DEFAULT
from classifiers.plan import lay_out
from featstore import FeatureSet, FeatureStore
from featstore.fingerprint import Fingerprint

SLACK = 0.15
PARTS = ("logistic", "svm", "lightgbm", "mlp", "compare")
RATIOS = {"logistic": 5.0, "logistic, all 10 C": 5.0, "svm": 5.0, "lightgbm": 15.0}
"""How many times faster than its baseline a tuned head has to be, on the planted data."""
SECONDS = {"mlp": 8.0, "compare": 30.0}
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


def alternate(runs: int, warm: bool, **works: Callable[[], float]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each, run in turn; and the accuracy that each reported last."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    accuracy: dict[str, float] = {}
    for turn in range(runs + warm):
        for name, work in works.items():
            began = time.perf_counter()
            accuracy[name] = work()
            if turn >= warm:
                taken[name].append(time.perf_counter() - began)
    return taken, accuracy


def works_of(part: str, features: FeatureSet, place: Path) -> dict[str, Callable[[], float]]:
    """The candidate and, where there is one, the baseline of a part; each returns its accuracy."""
    if part == "compare":

        def report() -> float:
            done = compare(features, DEFAULT)
            done.write(place)
            return float(done.data["runs"][done.data["best_run"]]["accuracy"])

        return {"ours": report}
    plan = lay_out(features)
    (train, test), folds = plan.outer[0], plan.inner[0]
    X, y = features.X[train], features.y[train]
    X_test, y_test = features.X[test], features.y[test]

    def ours(**params: object) -> float:
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


def judge(part: str, data: str, taken: dict[str, float], accuracy: dict[str, float], n: int) -> list[dict[str, object]]:
    """One row of the table a candidate: what was measured, what was wanted, whether it was missed."""
    rows: list[dict[str, object]] = []
    for name in (name for name in taken if name != "baseline"):
        label = part + name.removeprefix("ours")
        row: dict[str, object] = {"part": label, "data": data, "seconds": taken[name], "accuracy": accuracy[name]}
        missed = []
        if "baseline" in taken:
            ratio, wanted = taken["baseline"] / taken[name], RATIOS[label] if data == "planted" else None
            row |= {"baseline_seconds": taken["baseline"], "baseline_accuracy": accuracy["baseline"], "ratio": ratio,
                    "target_ratio": wanted}  # fmt: skip
            missed += ["ratio"] if wanted and ratio < wanted * (1 - SLACK) else []
            # Of a few test images, chance takes more than the points that are allowed: one standard error of a share.
            allowed = max(POINTS, 1 / n, float(np.sqrt(0.25 / n)) if n < 300 else 0.0)
            missed += ["accuracy"] if accuracy[name] < accuracy["baseline"] - allowed - 1e-9 else []
        elif data == "planted":
            row["target_seconds"] = SECONDS[label]
            missed += ["seconds"] if taken[name] > SECONDS[label] * (1 + SLACK) else []
        rows.append(row | {"missed": missed})
    return rows


def show(row: dict[str, object]) -> None:
    """One line of the table."""
    ours = f"{row['seconds']:>8.2f} s {100 * float(str(row['accuracy'])):>6.1f} %"
    if "ratio" in row:
        theirs = f"{row['baseline_seconds']:>8.2f} s {100 * float(str(row['baseline_accuracy'])):>6.1f} %"
        wanted = f"{row['target_ratio']:>6.0f}x" if row["target_ratio"] else f"{'-':>7}"
        tail = f"{row['ratio']:>8.1f}x{wanted}"
    else:
        theirs, tail = f"{'-':>10}{'':>9}", f"{'':>9}{row['target_seconds']:>5.0f} s" if "target_seconds" in row else ""
    print(
        f"{row['data']:<9}{row['part']:<21}{theirs:>19}{ours:>19}{tail}   {', '.join(row['missed']) or 'ok'}",
        flush=True,
    )  # type: ignore[arg-type]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, with commas (default: everything)")
    parser.add_argument("--data", default="planted,cached", help="planted, cached or both (default)")
    parser.add_argument("--store", help="a feature store with real features")
    parser.add_argument("--dataset", help="its image set, where it holds several")
    parser.add_argument("--runs", type=int, default=5, help="measurements of each, after a warm-up")
    parser.add_argument("--keep", type=Path, help="JSON file that gathers the measurements of several calls")
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
    print(f"{machine}, {time.strftime('%Y-%m-%d')}")
    print(f"{'data':<9}{'part':<21}{'baseline':>19}{'ours, tuned':>19}{'ratio':>9}{'target':>7}", flush=True)
    kept: dict[str, dict[str, list[float]]] = {}
    if options.keep and options.keep.exists():
        kept = json.loads(options.keep.read_text("utf-8"))
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="featstore-bench-") as folder:
        for kind in kinds:
            features = planted(options.rows, options.dim, options.classes) if kind == "planted" else cached(
                options, folder + "/store"
            )  # fmt: skip
            if isinstance(features, str):
                print(f"cached   left out: {features}")
                continue
            judged = len(lay_out(features).judged)
            for part in parts:
                # LightGBM's own raw fit takes minutes and warms up within it.
                warm = part != "lightgbm" or kind != "planted"
                works = works_of(part, features, Path(folder) / f"report-{kind}")
                new, accuracy = alternate(options.runs, warm, **works)
                mine = kept.setdefault(f"{kind} {part} {len(features)} {machine}", {})
                for name, seconds in new.items():
                    mine[name] = [*mine.get(name, []), *seconds]
                if options.keep:
                    options.keep.write_text(json.dumps(kept), "utf-8")
                medians = {name: statistics.median(seconds) for name, seconds in mine.items()}
                for row in judge(part, kind, medians, accuracy, judged):
                    row["runs"] = len(mine["ours"])
                    show(row)
                    results.append(row)
    missed = [f"{row['data']} {row['part']}" for row in results if row["missed"]]
    ratios = {f"{row['data']} {row['part']}": round(float(str(row["ratio"])), 2) for row in results if "ratio" in row}
    print(json.dumps({"benchmark": "heads", "cores": cores, "versions": versions, "ratios": ratios, "results": results,
                      "missed": missed}))  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
