"""Extraction against the loop that tutorials write, in the same run: the whole job, and its parts alone.

    python benchmarks/bench_extract.py [--data FOLDER] [--backbones mobilenet_v2,resnet18,resnet50]
                                       [--precisions fp32,bf16] [--device auto] [--engine auto] [--runs 5]
                                       [--images 396] [--weights FILE] [--nvjpeg]

The tutorial's loop is `ImageFolder`, `DataLoader(batch_size=32, num_workers=2)` and the eager network, penultimate
features kept in a list. Both sides run the whole job from JPEG files to features, in turn; the project's side writes a
store with every sync. The engine's preparation, as long as it takes alone, is taken off and shown apart. Without
`--data` JPEG files of photographic size are made. Networks have seeded random weights unless `--weights` names a file
of the one backbone; in bf16 others may keep more layers in float32, and take longer.

The limit is that of the parts measured alone: `1 / (decode seconds / cores + forward seconds)` an image on a CPU, the
slower of the two on a GPU. There all cores decode at once, the network alone runs on images that are already on the
device, and the tutorial's loop is measured once, on at most 2000 images. With `--nvjpeg` JPEG files are decoded there,
and decoding alone is the device's processes without a network beside them, from files to pixels in memory; the start of
these processes counts as preparation, too. The store's share is what it takes alone for the same rows, in percent of
the job, though it works beside the network.

Prints a table and, as its last line, one JSON object. Exits with 1 where a target is missed by more than 15 %, or where
features leave the tolerance.
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
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms._presets import ImageClassification

from featstore import FeatureStore
from featstore.backbone import Backbone
from featstore.decoding.nvjpeg_pool import NvjpegPool
from featstore.decoding.pixels.decode import decode_image
from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.worker import decode_file
from featstore.discovery.scanning import scan
from featstore.engines.devices import describe, find_device
from featstore.engines.engine import Engine
from featstore.engines.factory import make_engine
from featstore.extract import extract
from featstore.extract.extraction import Extraction
from featstore.extract.writer import RowWriter
from featstore.images.image_set import ImageSet
from featstore.system.machine import usable_cores

SLACK = 0.15
LIMIT_SHARE = 0.90
STORE_SHARE = 0.03
RATIOS = {
    ("mobilenet_v2", "fp32"): 8.0, ("mobilenet_v2", "bf16"): 10.0, ("resnet18", "fp32"): 2.7, ("resnet18", "bf16"): 5.0,
    ("resnet50", "fp32"): 3.5, ("resnet50", "bf16"): 7.0,
}  # fmt: skip
"""Whole job against the tutorial's loop, on two cores of a CPU with bf16 arithmetic."""
TOLERANCE = {"fp32": (1e-4, 0.99999), "bf16": (np.inf, 0.999), "fp16": (np.inf, 0.999), "nvjpeg": (np.inf, 0.99)}
"""Largest difference as a share of the largest feature, and least cosine, against the eager network on Pillow's
pixels."""
BATCH = 32
PICTURES = 400
BESIDE_A_GPU = 2000
"""Images that the tutorial's loop is measured on, once, beside a GPU: it is many times slower."""


def photographs(folder: Path, count: int) -> Path:
    """JPEG files of about 480 x 390 pixels and 60 kB: waves, edges and grain, as much detail as photographs have.

    Beyond `PICTURES` they are the same pictures in other files: bytes that no decoder looks at follow the picture.
    """
    rng = np.random.default_rng(0)
    places = []
    for number in range(min(count, PICTURES)):
        width, height = int(rng.integers(400, 560)), int(rng.integers(330, 450))
        y, x = np.mgrid[0:height, 0:width] / 40.0
        waves = np.stack([np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-3, 3, (3, 3))], axis=-1)
        coarse = rng.normal(0, 40, (height // 12 + 1, width // 12 + 1, 3)).repeat(12, 0).repeat(12, 1)[:height, :width]
        picture = np.clip(128 + 60 * waves + coarse + rng.normal(0, 9, (height, width, 3)), 0, 255).astype(np.uint8)
        place = folder / f"class{number % 2}" / f"{number:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place, quality=88)
        places.append(place)
    for number in range(PICTURES, count):
        original = places[number % PICTURES]
        original.with_name(f"{number:05d}.jpg").write_bytes(original.read_bytes() + number.to_bytes(8, "little"))
    return folder


def class_folder(data: Path) -> list[Path]:
    """The folders that ImageFolder can read: the folder itself, or its parts in the order of their names."""
    parts = [data / name for name in ("test", "train", "val") if (data / name).is_dir()]
    return parts or [data]


def headless(backbone: Backbone) -> torch.nn.Module:
    """The eager network of the tutorials: the last layers replaced by Identity."""
    network = getattr(torchvision.models, backbone.name)(weights=None)
    network.load_state_dict(backbone.network.state_dict())
    if hasattr(network, "fc"):
        network.fc = torch.nn.Identity()
    else:
        network.classifier = torch.nn.Identity()
    return network.eval()


def tutorial(folders: list[Path], network: torch.nn.Module, device: str) -> np.ndarray:
    """What everybody writes. Beside a GPU only the first images, as `ImageFolder` lists them."""
    transform = ImageClassification(crop_size=224, resize_size=256, antialias=True)
    out = []
    with torch.no_grad():
        for folder in folders:
            images = ImageFolder(folder, transform)
            if device != "cpu":
                images = torch.utils.data.Subset(images, range(min(len(images), BESIDE_A_GPU)))
            loader = torch.utils.data.DataLoader(images, batch_size=BATCH, num_workers=2)
            out += [network(images.to(device)).flatten(1).cpu() for images, _ in loader]
    return torch.cat(out).numpy()


def seconds(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def alone(engine: Engine, batch: np.ndarray, runs: int, device: str) -> float:
    """Seconds an image of the network alone, on decoded images in memory: the device's, where there is one."""
    if device.startswith("cuda"):
        runner = engine._ready()  # what it runs, without its copies
        pixels = torch.from_numpy(batch[: runner.batch_size]).to(device)

        def work() -> None:
            with torch.inference_mode(), runner._arithmetic():
                for _ in range(8):
                    runner._module(pixels)
            torch.cuda.synchronize()

        return statistics.median([seconds(work)[0] / (8 * len(pixels)) for _ in range(runs + 2)][1:])
    return statistics.median([seconds(lambda: engine.run(batch))[0] / len(batch) for _ in range(runs + 1)][1:])


def decoded(task: tuple[bytes, bytes, TransformSpec]) -> bytes:
    """The pixels of one file, as the pool's processes make them."""
    path, digest, spec = task
    return decode_file(path, digest, spec, decode_image, 2 << 30)[2]


def decode_alone(paths: list[tuple[bytes, bytes]], backbone: Backbone, device: str) -> tuple[float, np.ndarray]:
    """Seconds an image that a core takes to decode, and the pixels (n, s, s, 3) of some images.

    Beside a GPU all cores decode at once, in processes of their own: they may share caches and clocks.
    """
    side = backbone.transform.crop
    tasks = [(path, digest, backbone.transform) for path, digest in paths]
    here = tasks[:200]
    taken = [seconds(lambda: [decoded(task) for task in here]) for _ in range(3)]
    pixels = np.stack([np.frombuffer(p, np.uint8).reshape(side, side, 3) for p in taken[0][1] if p])
    if device == "cpu":
        return statistics.median(spent / len(pixels) for spent, _ in taken[1:]), pixels
    cores = usable_cores()
    if backbone.transform.nvjpeg:
        with NvjpegPool(backbone.transform, device, batch_size=256) as pool:
            spent = statistics.median([seconds(lambda: drained(pool, paths))[0] for _ in range(4)][1:])
        return spent / len(tasks) * cores, pixels
    with get_context("spawn").Pool(cores) as pool:
        shares = [tasks[i::cores] for i in range(cores)]
        spent = statistics.median([seconds(lambda: pool.map(count_decoded, shares, 1))[0] for _ in range(4)][1:])
    return spent / len(tasks) * cores, pixels


def drained(pool: NvjpegPool, paths: list[tuple[bytes, bytes]]) -> None:
    """Decode files, and look at nothing."""
    for batch in pool.run(paths):
        assert not batch.status.any()


def storing(place: Path, backbone: Backbone, run: Extraction, images: ImageSet, X: np.ndarray) -> float:
    """Seconds that a fresh store takes for the image set and the features, every sync included."""

    def work() -> None:
        store = FeatureStore(place, create=True)
        store.put_imageset(images)
        fingerprint = run.features[0][0]
        with RowWriter(store, {fingerprint.node: fingerprint}, backbone.widths, run.provenance) as writer:
            for start in range(0, len(X), BATCH):
                part = X[start : start + BATCH]
                good, wanted = np.zeros(len(part), dtype=np.uint8), np.ones(len(part), dtype=bool)
                writer.add(
                    images.digests[start : start + BATCH], good, ("",) * len(part), {fingerprint.node: part},
                    {fingerprint.node: wanted},
                )  # fmt: skip

    taken = []
    for _ in range(6):
        shutil.rmtree(place, ignore_errors=True)
        taken.append(seconds(work)[0])
    return statistics.median(taken[1:])


def count_decoded(tasks: list[tuple[bytes, bytes, TransformSpec]]) -> int:
    """Decode files, and send nothing of them back."""
    return sum(bool(decoded(task)) for task in tasks)


def measure(name: str, precisions: list[str], data: Path, work: Path, arguments) -> list[dict]:
    """One network: the tutorial's loop and each precision in turn, then the parts alone."""
    device = find_device(arguments.device)
    backbone = Backbone(name, arguments.weights, nvjpeg=arguments.nvjpeg)
    network = headless(backbone).to(device)
    folders = class_folder(data)[: None if device == "cpu" else 1]
    images = scan(data, name="bench")
    paths = [(images.absolute(i), images.digests[i].tobytes()) for i in range(len(images))]
    n, cores = len(images), usable_cores()

    def whole(precision):
        place = work / "store"
        shutil.rmtree(place, ignore_errors=True)
        run = extract(
            data, place, backbone=backbone, dataset="bench", precision=precision, engine=arguments.engine, device=device
        )
        taken = run.seconds - (run.preparation_seconds if arguments.nvjpeg else 0.0)
        return taken, run, FeatureStore(place).read("bench").X

    taken = {"tutorial": [], **{precision: [] for precision in precisions}}
    runs, features = {}, {}
    for turn in range(arguments.runs + 1):
        if device == "cpu" or turn == 0:
            spent, reference = seconds(lambda: tutorial(folders, network, device))
        figures = {"tutorial": spent * n / len(reference)}
        for precision in precisions:
            figures[precision], runs[precision], features[precision] = whole(precision)
        if turn:
            for key, value in figures.items():
                taken[key].append(value)

    decode, pixels = decode_alone(paths, backbone, device)
    side = backbone.transform.crop
    rows = []
    for precision in precisions:
        preparing = []
        for turn in range(3):
            engine = make_engine(backbone, engine=arguments.engine, device=device, precision=precision, expected_rows=n)
            preparing.append(engine.prepare())
            if turn < 2:
                engine.close()
        preparation = statistics.median(preparing)
        if arguments.nvjpeg:  # taken off already: nothing is decoded before the device's processes are ready
            preparation = runs[precision].preparation_seconds
        else:
            taken[precision] = [whole - preparation for whole in taken[precision]]
        batch = np.ascontiguousarray(np.resize(pixels, (4 * engine.batch_size, side, side, 3)))
        forward = alone(engine, batch, arguments.runs, device)
        engine.close()
        job = statistics.median(taken[precision]) / n
        limit = decode / cores + forward if device == "cpu" else max(decode / cores, forward)
        store = storing(work / "alone", backbone, runs[precision], images, features[precision])
        found, expected = features[precision][: len(reference)], reference
        cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
        rows.append(
            {
                "backbone": name, "precision": precision, "images": n, "engine": runs[precision].provenance["engine"],
                "tutorial_images_per_second": n / statistics.median(taken["tutorial"]), "images_per_second": 1 / job,
                "ratio": statistics.median(
                    a / b for a, b in zip(taken["tutorial"], taken[precision], strict=True)
                ),
                "nvjpeg": arguments.nvjpeg,
                "target": RATIOS.get((name, precision)), "decode_per_core": 1 / decode, "forward": 1 / forward,
                "store_share": store / n / job, "limit": 1 / limit, "share_of_limit": limit / job,
                "waiting": runs[precision].waiting,
                "images_per_second_with_preparation": 1 / (job + preparation / n),
                "preparation_seconds": preparation,
                "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
                "cosine": float(cosine.min()),
            }
        )  # fmt: skip
    return rows


def show(rows: list[dict]) -> None:
    head = (
        "network",
        "prec.",
        "engine",
        "tutorial/s",
        "ours/s",
        "ratio",
        "target",
        "decode/s/core",
        "forward/s",
        "limit/s",
    )
    print(("{:<14}{:<7}{:<10}" + "{:>14}" * 7 + "{:>11}{:>8}{:>11}").format(*head, "of limit", "store", "max|d|/max"))
    for r in rows:
        print(
            f"{r['backbone']:<14}{r['precision']:<7}{r['engine']:<10}{r['tutorial_images_per_second']:>14.1f}"
            f"{r['images_per_second']:>14.1f}{r['ratio']:>14.2f}{r['target'] or 0:>14.1f}{r['decode_per_core']:>14.0f}"
            f"{r['forward']:>14.0f}{r['limit']:>14.1f}{r['share_of_limit']:>11.0%}{r['store_share']:>8.1%}{r['difference']:>11.1e}"
        )


def misses(rows: list[dict], device: str) -> list[str]:
    found = []
    for r in rows:
        what = f"{r['backbone']} {r['precision']}"
        if device == "cpu" and r["target"] and r["ratio"] < r["target"] * (1 - SLACK):
            found.append(f"{what}: {r['ratio']:.2f} times the tutorial's loop, target {r['target']}")
        if r["share_of_limit"] < LIMIT_SHARE * (1 - SLACK):
            found.append(f"{what}: {r['share_of_limit']:.0%} of the limit, target {LIMIT_SHARE:.0%}")
        if r["store_share"] > STORE_SHARE * (1 + SLACK):
            found.append(f"{what}: the store takes {r['store_share']:.1%} of the run, target {STORE_SHARE:.0%}")
        difference, cosine = TOLERANCE["nvjpeg" if r["nvjpeg"] else r["precision"]]
        if r["difference"] > difference or r["cosine"] < cosine:
            found.append(f"{what}: features differ by {r['difference']:.1e}, cosine {r['cosine']:.6f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--backbones", default="mobilenet_v2,resnet18,resnet50")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--weights", default="none", help="a weights file of the one backbone")
    parser.add_argument("--nvjpeg", action="store_true", help="decode JPEG files on the CUDA device")
    parser.add_argument("--images", type=int, default=396, help="how many to make where no --data is given")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = arguments.data or photographs(work / "photographs", arguments.images)
        for name in arguments.backbones.split(","):
            rows += measure(name, arguments.precisions.split(","), data, work, arguments)
    show(rows)
    missed = misses(rows, device)
    for line in missed:
        print("missed:", line)
    versions = {name: version(name) for name in ("torch", "torchvision", "pillow", "numpy", "h5py")}
    print(
        json.dumps(
            {
                "benchmark": "extract", "date": date.today().isoformat(), "device": describe(device),
                "cores": usable_cores(), "machine": platform.machine(), "versions": versions,
                "data": "made" if arguments.data is None else arguments.data.name, "runs": arguments.runs, "rows": rows,
                "missed": missed,
            }
        )
    )  # fmt: skip
    sys.exit(bool(missed))


if __name__ == "__main__":
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    main()
