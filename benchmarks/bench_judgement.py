"""The judgement against truths: is the advice right, does the stated gain hold, are copies and shifts seen.

    python benchmarks/bench_judgement.py --work FOLDER [--truths FILE] [--judged FILE] [--pilots FILE] [--minutes 1]
                                         [--only TEXT] [--passes 3000] [--threads N] [--report]

Problems are made from the shared pictures: sub-sets of classes and rows, several sizes in pixels, planted wrong labels,
planted copies of six kinds, planted shifts of the test part, unbalanced classes. The truth of each is what fine-tuning
the whole network brings over the cached head on its test images, within the stated budget (`--passes`: training images
times epochs), so it is a lower bound; it is measured once and kept in `--truths`, one JSON line a problem. Then the
advice is asked for, copies and shifts are looked for, and both are held against the truth (kept in `--judged`).
Pilots are run where the advice is close and kept in `--pilots`. Problems whose lines are there already are not run
again; `--report` only reads the lines.

The verdict is right where it reopens and the truth is a gain worth having, or does not and the truth is none; a truth
whose 90 % interval holds the decision line decides nothing and is not counted. That is given against a head on the last
node, against the best cached head (where an earlier node is advised, on that), for the advice that does not call itself
close, and, with `--pilots`, for the advice that a pilot of so many minutes corrected where it was close. Coverage is
how often the measured gain lies in the advice's 90 % interval. Each figure has its 95 % Wilson interval.

Prints a table and, as its last line, one JSON object. Exits with 1 where a target is missed.
"""

import argparse
import io
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from classifiers.advice.advisor import advise
from classifiers.advice.cached_nodes import cached_nodes
from classifiers.advice.decision import WORTH
from classifiers.advice.evidence import Evidence
from classifiers.heads.registry import make_head
from classifiers.leakage.duplicate_groups import find_duplicate_groups
from classifiers.transfer.fine_tuning import finetune
from classifiers.validation.significance import wilson
from featstore import FeatureStore
from featstore.backbone.landmarks import landmarks
from featstore.errors import FeatstoreError
from featstore.extract import extract

SHARED = Path(os.environ.get("FEATSTORE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))
FAR = ("rsscn7", "blood_cells")
"""Sets whose networks are reopened with the large steps of a far domain; the others with small ones."""
COPIES = ("saved again", "resized", "cropped", "mirrored", "grey", "other light")
SHIFTS = ("darker", "blurred", "grey", "low quality", "coarse", "noisy", "other white", "contrast")
TARGETS = {"hit_rate": 0.9, "coverage": (0.85, 0.95), "precision": 0.95, "recall": 0.95, "false_shifts": 0.05}


@dataclass(frozen=True)
class Problem:
    """One data set to be made and judged."""

    source: str
    classes: int
    train: int  # images a class
    side: int  # pixels
    seed: int
    noise: float = 0.0  # share of wrong labels in the training part
    copies: str = ""
    shift: str = ""
    unbalanced: bool = False

    @property
    def name(self) -> str:
        """Says everything."""
        kind = "".join(f"-{part}" for part in (self.copies, self.shift) if part).replace(" ", "_")
        extra = (f"-noise{self.noise:g}" if self.noise else "") + ("-unbalanced" if self.unbalanced else "")
        return f"{self.source}-{self.classes}x{self.train}-{self.side}px{kind}{extra}-s{self.seed}"


def problems() -> list[Problem]:
    """All problems, in an order in which every start of the list holds several kinds."""
    shapes = {
        "hymenoptera": [(2, 20, 64), (2, 60, 96), (2, 115, 64), (2, 115, 128)],
        "cats_dogs": [(2, 20, 96), (2, 60, 64), (2, 150, 64), (2, 200, 96)],
        "pets37x10": [(6, 6, 96), (12, 6, 64), (20, 6, 96), (37, 6, 96), (37, 6, 64)],
        "rsscn7": [(3, 12, 96), (5, 14, 64), (7, 12, 128), (7, 16, 64), (7, 16, 96), (4, 18, 64)],
        "blood_cells": [(2, 60, 64), (2, 200, 96), (3, 40, 96), (3, 120, 64), (4, 25, 128), (4, 60, 96), (4, 120, 64),
                        (4, 200, 64), (4, 200, 96), (2, 240, 64), (3, 200, 96), (2, 100, 128)],
    }  # fmt: skip
    plain = [Problem(source, *shape, seed) for source, some in shapes.items() for seed, shape in enumerate(some)]
    noisy = [
        Problem("hymenoptera", 2, 100, 64, 11, noise=0.1), Problem("cats_dogs", 2, 120, 64, 12, noise=0.2),
        Problem("rsscn7", 7, 14, 96, 13, noise=0.1), Problem("blood_cells", 4, 100, 64, 14, noise=0.1),
        Problem("pets37x10", 20, 6, 96, 15, noise=0.2), Problem("cats_dogs", 2, 150, 96, 16, noise=0.1),
        Problem("hymenoptera", 2, 100, 96, 17, noise=0.3),
    ]  # fmt: skip
    homes = ("hymenoptera", "cats_dogs", "rsscn7", "pets37x10")
    shape = {"hymenoptera": (2, 70), "cats_dogs": (2, 90), "rsscn7": (7, 14), "pets37x10": (15, 6)}
    copied = [
        Problem(homes[(i + j) % 4], *shape[homes[(i + j) % 4]], 64 if i % 2 else 96, 20 + 2 * i + j, copies=kind)
        for i, kind in enumerate(COPIES)
        for j in range(2)
    ]
    homes = ("cats_dogs", "hymenoptera", "rsscn7", "blood_cells", "pets37x10")
    shape |= {"blood_cells": (4, 60)}
    shifted = [
        Problem(homes[i % 5], *shape[homes[i % 5]], 96 if i % 2 else 64, 40 + i, shift=kind)
        for i, kind in enumerate(SHIFTS)
    ]
    unbalanced = [
        Problem("rsscn7", 6, 18, 96, 50, unbalanced=True), Problem("rsscn7", 7, 18, 64, 51, unbalanced=True),
        Problem("blood_cells", 4, 200, 64, 52, unbalanced=True), Problem("pets37x10", 10, 8, 96, 53, unbalanced=True),
        Problem("cats_dogs", 2, 180, 64, 54, unbalanced=True),
    ]  # fmt: skip
    queues, mixed = [list(q) for q in (plain, copied, shifted, noisy, plain[::-1][:0], unbalanced)], []
    while any(queues):
        for queue in queues:
            take = 3 if queue is queues[0] else 1
            mixed += queue[:take]
            del queue[:take]
    return mixed


@dataclass(frozen=True)
class Made:
    """Where a problem lies, and what was planted: pairs of names (training image, its copy in the test part)."""

    folder: Path
    planted: list[tuple[str, str]]


def pools(source: str) -> dict[str, tuple[list[Path], list[Path]]]:
    """Class -> training and test candidates; sets without parts have training candidates only."""
    root = SHARED / "data" / source
    found: dict[str, tuple[list[Path], list[Path]]] = {}
    parts = sorted(p.name for p in root.iterdir() if p.is_dir())
    given = "train" in parts
    for folder in sorted((root / "train" if given else root).iterdir()):
        if folder.is_dir():
            other = [root / part / folder.name for part in parts if part != "train"] if given else []
            found[folder.name] = (
                sorted(folder.iterdir()), sorted(file for place in other for file in place.iterdir()),
            )  # fmt: skip
    return found


def make(problem: Problem, work: Path, most_test: int = 300) -> Made:
    """Write the pictures of a problem as class folders under train and test."""
    rng = np.random.default_rng([problem.seed, 19])
    found = pools(problem.source)
    names = sorted(rng.permutation(sorted(found))[: problem.classes].tolist())
    folder = work / problem.name
    shutil.rmtree(folder, ignore_errors=True)
    train: list[tuple[str, Path]] = []
    test: list[tuple[str, Path]] = []
    for number, name in enumerate(names):
        kept, judged = found[name]
        own = [kept[i] for i in rng.permutation(len(kept))]
        count = problem.train if not problem.unbalanced else max(3, round(problem.train / 2.2**number))
        train += [(name, file) for file in own[:count]]
        rest = judged if problem.source == "blood_cells" else [*judged, *own[problem.train :]]
        rest = [rest[i] for i in rng.permutation(len(rest))][: most_test // len(names)]
        if problem.unbalanced:
            rest = rest[: max(4, round(len(rest) / 1.5**number))]
        test += [(name, file) for file in rest]
    labels = [name for name, _ in train]
    for i in rng.permutation(len(train))[: round(problem.noise * len(train))]:
        labels[i] = str(rng.choice([name for name in names if name != train[i][0]]))
    counter = iter(rng.permutation(100_000).tolist())
    placed: dict[Path, str] = {}
    for label, (_, file) in zip(labels, train, strict=True):
        placed[file] = _place(file, folder / "train" / label, problem, counter)
    for name, file in test:
        where = _place(file, folder / "test" / name, problem, counter)
        if problem.shift:
            _edit(folder / where, folder / where, problem.shift, rng)
    planted = []
    if problem.copies:
        chosen = rng.permutation(len(train))[: max(8, len(test) // 5)]
        for i in chosen.tolist():
            own, file = train[i]
            target = folder / "test" / own / f"{next(counter):05d}.jpg"
            _edit(file, target, problem.copies, rng)
            planted.append((placed[file], str(target.relative_to(folder))))
    return Made(folder, planted)


def _place(file: Path, folder: Path, problem: Problem, counter: Iterator[int]) -> str:
    """Copy a file, under a name that tells nothing; where names tell the source, under its own."""
    folder.mkdir(parents=True, exist_ok=True)
    name = file.name if problem.source == "blood_cells" else f"{next(counter):05d}{file.suffix}"
    shutil.copyfile(file, folder / name)
    return f"{folder.parent.name}/{folder.name}/{name}"


def _edit(file: Path, target: Path, kind: str, rng: np.random.Generator) -> None:
    """Write a copy or a shifted picture."""
    with Image.open(file) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    width, height = picture.size
    quality = 90
    if kind == "saved again":
        quality = int(rng.integers(55, 80))
    elif kind == "resized":
        share = rng.uniform(0.5, 0.8)
        picture = picture.resize((max(16, int(width * share)), max(16, int(height * share))), Image.Resampling.BICUBIC)
    elif kind == "cropped":
        share = rng.uniform(0.75, 0.92)
        w, h = int(width * share), int(height * share)
        left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        picture = picture.crop((left, top, left + w, top + h))
    elif kind == "mirrored":
        picture = ImageOps.mirror(picture)
    elif kind == "grey":
        picture = picture.convert("L").convert("RGB")
    elif kind == "other light":
        picture = ImageEnhance.Brightness(picture).enhance(
            float(rng.choice([rng.uniform(0.55, 0.8), rng.uniform(1.2, 1.5)]))
        )
        picture = ImageEnhance.Contrast(picture).enhance(float(rng.uniform(0.8, 1.2)))
    elif kind == "darker":
        picture = ImageEnhance.Brightness(picture).enhance(0.35)
    elif kind == "blurred":
        picture = picture.filter(ImageFilter.GaussianBlur(max(width, height) / 60))
    elif kind == "low quality":
        quality = 6
    elif kind == "coarse":
        small = picture.resize((max(8, width // 8), max(8, height // 8)), Image.Resampling.BILINEAR)
        picture = small.resize((width, height), Image.Resampling.BILINEAR)
    elif kind == "noisy":
        noise = rng.normal(0, 40, (height, width, 3))
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    elif kind == "other white":
        tint = np.array([1.3, 1.0, 0.6])
        picture = Image.fromarray(np.clip(np.asarray(picture) * tint, 0, 255).astype(np.uint8))
    elif kind == "contrast":
        picture = ImageEnhance.Contrast(picture).enhance(0.35)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    if target == file:
        target.unlink()
    target.write_bytes(buffer.getvalue())


def cache(problem: Problem, made: Made, store: Path) -> None:
    """Extract the landmarks."""
    extract(
        str(made.folder), store, dataset="problem", backbone="mobilenet_v2",
        weights=str(SHARED / "weights" / "mobilenet_v2-imagenet.pth"), nodes=landmarks("mobilenet_v2"),
        input_size=problem.side, precision="fp32",
    )  # fmt: skip


def truth(problem: Problem, made: Made, store: Path, passes: int) -> dict[str, Any]:
    """What fine-tuning brings on the test part, over the cached head of the last node."""
    began = time.perf_counter()
    images = len(list((made.folder / "train").glob("*/*")))
    epochs = int(min(30, max(6, passes // max(images, 1))))
    try:
        result = finetune(
            str(made.folder), FeatureStore(store), made.folder.with_suffix(".bundle"), dataset="problem",
            select={"node": "avgpool", "backbone": "mobilenet_v2"}, regime=4 if problem.source in FAR else 3,
            budget="quick", device="cpu", overwrite=True, restart=True, epochs=epochs, seed=problem.seed,
            keep_any=True,  # else a gain that few validation images cannot show would count as none
        )  # fmt: skip
    except FeatstoreError as error:
        return {"name": problem.name, "error": str(error)}
    right, before = result.right_tuned, result.right_cached
    gain, (low, high) = paired(right, before)
    return {
        "name": problem.name, "gain": gain, "low": low, "high": high, "cached": float(before.mean()),
        "tuned": float(right.mean()), "test": len(right), "train": images, "epochs": epochs, "best": result.best,
        "regime": result.details["regime"], "notes": list(result.notes), "verdict": result.verdict,
        "valid": [entry["valid_accuracy"] for entry in result.history],
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def paired(one: np.ndarray, other: np.ndarray, z: float = 1.645) -> tuple[float, tuple[float, float]]:
    """Mean difference of two answers to the same images, with its interval; one discordant pair is added."""
    difference = one.astype(float) - other.astype(float)
    n, mean = len(difference), float(difference.mean())
    half = z * math.sqrt(max((float(np.abs(difference).sum()) + 1) / n - mean**2, 0.0) / n)
    return mean, (mean - half, mean + half)


def earlier(store: Path, evidence: Evidence) -> float:
    """What a head on the earlier node that is advised brings on the test part over one on the last; 0 without."""
    if not evidence.earlier_shown:
        return 0.0
    sets = cached_nodes(FeatureStore(store), "problem", [], {})[0]
    right = []
    for number in (evidence.best, evidence.last):
        found = next(one for one in sets if one.fingerprint.node == evidence.nodes[number].node)
        train, test = found.training(), found.testing()
        head = make_head("logistic", seed=0, budget="quick").fit(found.X[train], found.y[train])
        right.append(float((head.predict(found.X[test]) == found.y[test]).mean()))
    return right[0] - right[1]


def piloted(problem: Problem, store: Path, minutes: float) -> dict[str, Any]:
    """What the tool says after a pilot."""
    advice, _ = advise(FeatureStore(store), dataset="problem", device="cpu", pilot=minutes)
    return {
        "name": problem.name, "minutes": minutes, "verdict": advice.verdict, "pilot": advice.pilot,
        "expected": advice.expected_gain, "expected_ci": list(advice.expected_gain_ci),
    }  # fmt: skip


def judged(problem: Problem, made: Made, store: Path) -> dict[str, Any]:
    """What the tool says, without having seen the truth."""
    began = time.perf_counter()
    advice, _ = advise(FeatureStore(store), dataset="problem", device="cpu")
    seconds = time.perf_counter() - began
    document = advice.to_json()
    features = cached_nodes(FeatureStore(store), "problem", ["avgpool"], {})[0][-1]
    began = time.perf_counter()
    found = find_duplicate_groups(features)
    looked = time.perf_counter() - began
    names = features.ids
    pairs = {frozenset((names[a], names[b])) for a, b in np.concatenate([found.identical, found.copies]).tolist()}
    part = {name: str(split) for name, split in zip(names, features.splits.tolist(), strict=True)}
    crossing = {pair for pair in pairs if len({part[name] for name in pair}) == 2}
    planted = {frozenset(pair) for pair in made.planted}
    shift = document["evidence"].get("shift")
    return {
        "name": problem.name, "verdict": advice.verdict, "regime": advice.regime, "reopening": document["reopening"],
        "expected": advice.expected_gain, "expected_ci": list(advice.expected_gain_ci), "difference": advice.difference,
        "noise": document["evidence"]["label_noise"], "shifted": bool(shift and shift["shifted"]), "shift": shift,
        "planted": len(planted), "found": len(planted & crossing), "named": len(crossing), "copies": len(pairs),
        "wrong": sorted(sorted(pair) for pair in crossing - planted)[:20],
        "missed": sorted(sorted(pair) for pair in planted - crossing)[:20],
        "leak": bool(document["evidence"]["leaks"].get("texts")),
        "evidence": {key: value for key, value in document["evidence"].items() if key != "leaks"},
        "earlier": earlier(store, advice.evidence), "seconds": round(seconds, 2), "looked": round(looked, 2),
    }  # fmt: skip


def lines(path: Path | None) -> dict[str, dict[str, Any]]:
    """Results that are there already, by the problem's name."""
    if path is None or not path.is_file():
        return {}
    return {row["name"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a result."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, default=float) + "\n")


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """A share with its interval; None of none."""
    n, k = len(hits), int(sum(hits))
    return {"share": k / n, "ci": [round(bound, 3) for bound in wilson(k, n)], "n": n} if n else {"share": None, "n": 0}


def hit_rates(
    rows: Sequence[tuple[dict[str, Any], dict[str, Any]]], pilots: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """How often the verdict is right, of truths that decide; `rows`: a truth and what was said of it."""
    hits: dict[str, list[bool]] = {name: [] for name in ("hit_rate", "hit_rate_best_node", "hit_rate_not_close",
                                                         "hit_rate_after_pilots")}  # fmt: skip
    for true, said in rows:
        for best in (False, True):
            base = said.get("earlier", 0.0) if best else 0.0
            low, high = true["low"] - base, true["high"] - base
            if low <= WORTH <= high:
                continue
            right = said["verdict"].startswith("reopen") == (low > WORTH)
            if not best:
                hits["hit_rate"].append(right)
                continue
            close = said["reopening"]["close"]
            hits["hit_rate_best_node"].append(right)
            hits["hit_rate_not_close"] += [] if close else [right]
            last = pilots.get(true["name"], said) if close else said
            hits["hit_rate_after_pilots"].append(last["verdict"].startswith("reopen") == (low > WORTH))
    return {name: share(some) for name, some in hits.items() if pilots or name != "hit_rate_after_pilots"}


def summary(
    truths: dict[str, dict[str, Any]], found: dict[str, dict[str, Any]], pilots: dict[str, dict[str, Any]],
    asked: list[Problem],
) -> dict[str, Any]:  # fmt: skip
    """The figures."""
    rows, covered, of_source = [], [], {}
    for problem in asked:
        true, said = truths.get(problem.name), found.get(problem.name)
        if not true or not said or "error" in true or "error" in said:
            continue
        rows.append((true, said))
        low, high = said["reopening"]["ci"]
        covered.append(low - 1e-9 <= true["gain"] <= high + 1e-9)
        of_source.setdefault(problem.source, []).append(covered[-1])
    planted = [p for p in asked if p.copies and p.name in found]
    by_kind = {}
    for kind in COPIES:
        of_kind = [found[p.name] for p in planted if p.copies == kind]
        right, named, there = (sum(row[key] for row in of_kind) for key in ("found", "named", "planted"))
        by_kind[kind] = {"precision": right / named if named else None, "recall": right / there if there else None,
                         "planted": there, "named": named}  # fmt: skip
    right, named, there = (sum(found[p.name][key] for p in planted) for key in ("found", "named", "planted"))
    unplanted = [p for p in asked if not p.copies and p.name in found and p.source != "blood_cells"]
    shifted = [p for p in asked if p.shift and p.name in found]
    straight = [p for p in asked if not p.shift and p.name in found]
    return {
        "problems": len(asked), "truths": len(truths), "judged": len(found),
        **hit_rates(rows, pilots), "coverage": share(covered),
        "coverage_by_source": {name: share(some) for name, some in of_source.items()},
        "copies": {"precision": right / named if named else None, "recall": right / there if there else None,
                   "by_kind": by_kind},
        "missed_leak_warnings": share([not found[p.name]["leak"] for p in planted]),
        "false_leak_warnings": share([found[p.name]["leak"] for p in unplanted]),
        "missed_shifts": share([not found[p.name]["shifted"] for p in shifted]),
        "false_shifts": share([found[p.name]["shifted"] for p in straight]),
    }  # fmt: skip


def missed(figures: dict[str, Any]) -> list[str]:
    """Targets that were not met."""
    low, high = TARGETS["coverage"]
    kinds = figures["copies"]["by_kind"].values()
    checks = {
        "hit_rate": (figures["hit_rate"]["share"] or 0) >= TARGETS["hit_rate"],
        "coverage": low <= (figures["coverage"]["share"] or 0) <= high,
        "false_shifts": (figures["false_shifts"]["share"] or 0) <= TARGETS["false_shifts"],
        "precision": all(
            (kind["precision"] or 0) >= TARGETS["precision"] for kind in figures["copies"]["by_kind"].values()
        ),
        "recall": all((kind["recall"] or 0) >= TARGETS["recall"] for kind in kinds),
    }
    return [name for name, met in checks.items() if not met]


def main() -> int:
    """Make, measure, judge, sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--truths", type=Path)
    parser.add_argument("--judged", type=Path)
    parser.add_argument("--pilots", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--passes", type=int, default=3000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    asked = [problem for problem in problems() if options.only in problem.name]
    truths, found, pilots = lines(options.truths), lines(options.judged), lines(options.pilots)
    for problem in asked if not options.report else []:
        measure = options.truths is not None and problem.name not in truths
        ask = options.judged is not None and problem.name not in found
        near = options.pilots is not None and problem.name not in pilots
        near = near and (ask or bool(found.get(problem.name, {}).get("reopening", {}).get("close")))
        if not measure and not ask and not near:
            continue
        made = make(problem, options.work)
        store = options.work / f"{problem.name}.store"
        cache(problem, made, store)
        if ask:
            found[problem.name] = judged(problem, made, store)
            append(options.judged, found[problem.name])
        if near and found[problem.name]["reopening"]["close"]:
            pilots[problem.name] = piloted(problem, store, options.minutes)
            append(options.pilots, pilots[problem.name])
        if measure:
            truths[problem.name] = truth(problem, made, store, options.passes)
            append(options.truths, truths[problem.name])
        print(json.dumps({key: row.get(key) for row in (truths.get(problem.name, {}), found.get(problem.name, {}))
                          for key in row if key in ("name", "gain", "low", "high", "verdict", "seconds", "error")}),
              file=sys.stderr, flush=True)  # fmt: skip
    figures = summary(truths, found, pilots, asked)
    for name, value in figures.items():
        print(f"{name:>22}  {json.dumps(value)}")
    figures["missed"] = missed(figures)
    print(json.dumps(figures))
    return int(bool(figures["missed"]))


if __name__ == "__main__":
    sys.exit(main())
