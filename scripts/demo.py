"""`featstore demo`: the main job from nothing, offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from featstore_scripts import options

BACKBONE = "mobilenet_v3_small"
HEADS = ("logistic", "svm", "lightgbm", "knn", "centroid")
MADE = {"store", "images", "textures", "digits"}
PATIENCE = 4.0  # seconds to wait for a server with pretrained weights


@click.command()
@click.option(
    "--out", "-o", default="featstore-demo", show_default=True, type=click.Path(), metavar="DIR", help="Where to."
)
@options.overwrite
@options.seed
@options.quiet
@options.json_option
def demo(out: str, overwrite: bool, seed: int, quiet: bool, as_json: bool) -> None:
    """Draw an image set, extract features, compare heads, write the report. Needs no network and no file.

    Two sets are made: eight classes of drawn textures, and scikit-learn's real handwritten digits. Pretrained
    weights are used where they are on this machine or arrive within seconds; else seeded random ones, and everything
    says so.
    """
    import time

    from classifiers import Report, compare
    from featstore import FeatureStore
    from featstore.extract import extract
    from featstore.images.samples import write_digits, write_textures

    began = time.perf_counter()
    folder = options.fresh_path(out, overwrite)
    _clear(folder)
    weights = _weights_at_hand()
    out_console = options.console()
    results: dict[str, Any] = {}
    store = FeatureStore(folder / "store", create=True)
    for name, draw in (("textures", write_textures), ("digits", write_digits)):
        per_class = 40 if name == "textures" else 60
        images = draw(folder / "images" / name, per_class=per_class)
        with options.reporter(quiet) as report:
            extraction = extract(
                images, store, dataset=name, backbone=BACKBONE, weights=weights, split={"test": 0.3}, split_seed=seed,
                progress=report,
            )  # fmt: skip
            judged = compare(store.read(name), heads=HEADS, seed=seed, budget="quick", progress=report)
        judged = Report(options.worded(judged.data))
        judged.write(folder / name)
        results[name] = {"extract": extraction.to_json(), "report": judged.data}
        if not as_json:
            out_console.print(judged.to_text())
    if as_json:
        options.emit({"format": 1, "out": str(folder), "seconds": time.perf_counter() - began, **results})
        return
    if weights == "none":
        out_console.print(
            "No pretrained weights at hand: the network has seeded random weights, so these features are a floor. "
            "With pretrained weights the same commands do much better."
        )
    out_console.print(f"Done in {time.perf_counter() - began:.0f} s. Open:")
    for name in results:
        out_console.print(f"  {(folder / name / 'report.html').resolve()}")
    out_console.print(f"Now yours:  featstore extract YOUR_IMAGES --store {folder / 'store'}")


def _clear(folder: Path) -> None:
    """Remove an earlier demo; a folder that holds anything else is left alone."""
    import shutil

    from featstore.errors import OutputExistsError

    if not folder.exists():
        return
    foreign = sorted(set(os.listdir(folder)) - MADE) if folder.is_dir() else [folder.name]
    if foreign:
        raise OutputExistsError(f"{folder} holds {foreign[0]!r}, which no demo made; name another place with --out")
    shutil.rmtree(folder)


def _weights_at_hand() -> str:
    """`auto` where pretrained weights are here or arrive within seconds, else `none`."""
    from featstore.backbone.weights import load_weights
    from featstore.errors import WeightsNotFoundError

    try:
        load_weights(BACKBONE, "auto", timeout=PATIENCE)
    except WeightsNotFoundError:
        return "none"
    return "auto"


if __name__ == "__main__":
    options.run(demo)
