"""`featstore ideal`: the image that a class would most like to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from featstore_scripts import options


@click.command()
@click.option("--class", "name", required=True, metavar="NAME", help="The class, by name or index.")
@click.option(
    "--out", "-o", required=True, type=click.Path(), metavar="DIR", help="Folder for the pictures; made if new."
)
@options.classifier
@click.option("--start", type=click.Path(), metavar="IMAGE", help="Start from this image instead of noise.")
@click.option(
    "--also",
    metavar="NETWORK",
    multiple=True,
    help="Ask a second network too: BACKBONE, BACKBONE=WEIGHTS or a bundle; repeatable. "
    "(default: another one whose weights are on this machine)",
)
@click.option("--steps", type=click.IntRange(min=1), default=160, show_default=True, help="Steps of gradient ascent.")
@click.option("--views", type=click.IntRange(min=1), default=6, show_default=True, help="Random views a step.")
@click.option(
    "--coarse",
    type=click.FloatRange(0, 1),
    default=0.4,
    show_default=True,
    help="Share of the steps, the first, that look at small views: where things are.",
)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=0.05, show_default=True, help="Learning rate."
)
@click.option(
    "--class-weight", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Weight of the cross-entropy."
)
@click.option(
    "--variation-weight",
    type=click.FloatRange(min=0),
    help="Weight of the total variation (default: 0.02 for ImageNet's 1000 classes, less for fewer).",
)
@click.option("--l2", type=click.FloatRange(min=0), default=2e-4, show_default=True, help="Keeps contrast in bounds.")
@click.option(
    "--softness",
    type=click.FloatRange(min=0, min_open=True),
    help="Above 1, a class that is nearly certain still asks for more (default: 4 for 1000 classes, more for fewer).",
)
@click.option("--jitter", type=click.IntRange(min=0), default=16, show_default=True, help="Largest shift, pixels.")
@click.option("--zoom", type=click.FloatRange(0, 0.9), default=0.4, show_default=True, help="Largest change of scale.")
@click.option("--degrees", type=click.FloatRange(0, 180), default=15.0, show_default=True, help="Largest rotation.")
@click.option(
    "--falloff",
    type=click.FloatRange(0, 3),
    default=1.2,
    show_default=True,
    help="How much more large shapes weigh than fine ones (with --parameters fourier).",
)
@click.option(
    "--parameters",
    type=click.Choice(["fourier", "pixels"]),
    default="fourier",
    show_default=True,
    help="What is changed: the picture's spectrum, or its pixels as in the lesson.",
)
@click.option("--rgb", is_flag=True, help="Plain instead of decorrelated colour channels.")
@options.seed
@options.overwrite
@options.quiet
@options.json_option
def ideal(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    name: str,
    out: str,
    bundle: str | None,
    backbone: str | None,
    weights: str | None,
    input_size: int | None,
    device: str,
    start: str | None,
    also: tuple[str, ...],
    rgb: bool,
    seed: int,
    **settings: Any,
) -> None:
    """Search the image that a class would most like to see, by gradient ascent on a picture.

    Writes the picture, the same without variation loss, a strip of the steps, the loss curves and a JSON report to DIR.
    The picture is saved so that `featstore predict` sees exactly its pixels.
    """  # fmt: skip
    import json
    import os
    from dataclasses import replace

    from classifiers.inspection.ideal import IdealSettings
    from classifiers.inspection.ideal_files import ideal_image
    from classifiers.models.class_names import find_class
    from classifiers.models.classifier_choice import cached_backbone, open_classifier, open_named
    from classifiers.models.image_classifier import freeze_on
    from featstore.engines.devices import find_device
    from featstore.system import fsio

    options.one_classifier(bundle, backbone, input_size)
    given = {key: value for key, value in settings.items() if value is not None} | {"decorrelated": not rgb}
    there = find_device(device)
    classifier = open_classifier(bundle, backbone=backbone, weights=weights, input_size=input_size)
    target = find_class(classifier.classes, name)
    notes = []
    if not also:
        second = None if bundle else cached_backbone(classifier.backbone.name)
        if second is None:
            example = "OTHER-BUNDLE" if bundle else "resnet18 or --also resnet18=FILE"
            notes.append(f"no second network was asked, as none is at hand; name one with --also {example}")
        also = (second,) if second else ()
    others = [open_named(text) for text in also]
    freeze_on(classifier, there)
    for other in others:
        freeze_on(other, there)
    notes += classifier.caveats()
    with options.told("the search was not finished: nothing was written"), options.reporter(quiet) as report:
        result = ideal_image(
            classifier, target, Path(out), settings=replace(IdealSettings.usual(len(classifier.classes)), **given),
            start=None if start is None else os.fsencode(start), others=others, seed=seed, overwrite=overwrite,
            device=there, notes=notes, progress=report,
        )  # fmt: skip
    if (notes := [options.typed(note) for note in result.notes]) != list(result.notes):
        result = replace(result, notes=tuple(notes))
        fsio.replace(result.files["json"], json.dumps(result.to_json(), indent=2, allow_nan=False).encode() + b"\n")
    if as_json:
        options.emit(result.to_json())
        return
    calm, wild = result.with_variation, result.without_variation
    click.echo(f"{result.name}, {result.network}, {result.seconds:.0f} s")
    click.echo(f"{'':<26}{'probability':>12}{'total variation':>17}")
    click.echo(f"{'with variation loss':<26}{calm.probability:>12.4f}{calm.total_variation:>17.0f}")
    click.echo(f"{'without':<26}{wild.probability:>12.4f}{wild.total_variation:>17.0f}")
    for opinion in result.opinions:
        click.echo(
            f"{opinion.network} gives it {opinion.probability:.4f} (rank {opinion.rank}, it says {opinion.says}), "
            f"and {opinion.probability_without_variation:.4f} without variation loss"
        )
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"Picture: {result.files['saved'].resolve()}")


if __name__ == "__main__":
    options.run(ideal)
