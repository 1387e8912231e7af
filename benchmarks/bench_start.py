"""A warm start against a first one, in the same run: CPU seconds and wall seconds of whole commands.

    python benchmarks/bench_start.py [--data FOLDER] [--weights FILE] [--known 2000] [--new 100] [--runs 5]

`predict` of one picture, and `extract` of a few new pictures in a folder that is known otherwise, with MobileNetV2 at
224 pixels on a CPU. Each runs in turn with an empty cache folder and with one in which an earlier start left what it
prepared. Pictures are drawn, or copies of those in `--data` with other bytes behind them; weights are random unless
`--weights` names a file. Prints a table and, as its last line, one JSON object. Exits with 1 where a ratio of CPU
seconds misses its target by more than 15 %, or where a warm start gives other numbers.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.models.trained_head import train
from featstore import FeatureStore
from featstore.images.samples import write_textures

TARGETS = {"predict": 1 / 5, "extract": 1 / 3}
"""Largest share of a first start's CPU seconds."""
SLACK = 0.15


def run(cache: Path, *words: object) -> tuple[float, float, str]:
    """CPU and wall seconds of a command with all its processes, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "featstore_scripts.main", *map(str, words), "-q"],
        capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )  # fmt: skip
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"featstore {words[0]} failed: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, done.stdout


def copies(sources: list[Path], folder: Path, numbers: range) -> None:
    """Pictures that decode as the sources do, of other bytes, in two classes."""
    for number in numbers:
        place = folder / ("even", "odd")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}.jpg").write_bytes(sources[number % len(sources)].read_bytes() + b"%08d" % number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--known", type=int, default=2000)
    parser.add_argument("--new", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return measured(options, Path(folder))


def measured(options: argparse.Namespace, place: Path) -> int:
    """Measure in a folder, and print."""
    sources = sorted((options.data or write_textures(place / "drawn")).rglob("*.jpg"))
    network = ("--backbone", "mobilenet_v2", "--weights", options.weights, "--device", "cpu")
    warm = place / "warm"
    copies(sources, place / "pictures", range(options.known))
    run(warm, "extract", place / "pictures", "-s", place / "store", *network)
    head = train(FeatureStore(place / "store").read(), "logistic", budget="quick", folds=2)
    head.save(place / "b", weights=None if options.weights == "none" else options.weights)
    copies(sources, place / "pictures", range(options.known, options.known + options.new))

    def predict(cache: Path) -> tuple[float, float, Any]:
        return run(cache, "predict", place / "b", sources[0], "--device", "cpu")

    def extract(cache: Path) -> tuple[float, float, Any]:
        store = place / "again"
        shutil.copytree(place / "store", store)
        cpu, wall, _ = run(cache, "extract", place / "pictures", "-s", store, *network)
        X = FeatureStore(store).read().X
        shutil.rmtree(store)
        return cpu, wall, X.tobytes()

    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}, {time.strftime('%F')}")
    print(f"{'':<44}{'first':>16}{'warm':>16}{'CPU':>7}{'wall':>7}{'target':>8}")
    results, missed = {}, []
    for name, work, title in (
        ("predict", predict, "predict of one picture"),
        ("extract", extract, f"extract of {options.new} new beside {options.known:,}"),
    ):
        work(warm)  # leaves what it prepared
        pairs = []
        for number in range(options.runs):
            pairs.append((work(place / f"{name}{number}"), work(warm)))
        if any(first[2] != again[2] for first, again in pairs):
            missed.append(f"{name}: other numbers")
        cells, ratios = [], []
        for which in (0, 1):
            first, again = (statistics.median(pair[side][which] for pair in pairs) for side in (0, 1))
            cells.append((first, again))
            ratios.append(again / first)
        results[name] = {"cpu_ratio": ratios[0], "wall_ratio": ratios[1], "cpu_seconds": cells[0], "wall": cells[1]}
        shown = (f"{cells[0][side]:.1f} ({cells[1][side]:.1f}) s" for side in (0, 1))
        print(f"{title:<44}{''.join(f'{c:>16}' for c in shown)}{ratios[0]:>7.2f}{ratios[1]:>7.2f}{TARGETS[name]:>8.2f}")
        if ratios[0] > TARGETS[name] * (1 + SLACK):
            missed.append(name)
    print(json.dumps({"benchmark": "start", "cores": os.cpu_count(), **results, "missed": missed}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
