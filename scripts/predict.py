"""`featstore predict`: classify image files or folders with a bundle."""

from __future__ import annotations

from typing import Any

import click

from featstore_scripts import options


@click.command()
@click.argument("bundle", type=click.Path())
@click.argument("images", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="How many classes to list for each image.",
)
@click.option("--out", "-o", type=click.Path(), metavar="FILE", help="Write there instead of to standard output.")
@options.weights_file
@options.device
@click.option(
    "--engine",
    type=click.Choice(["auto", "eager", "compile", "openvino"]),
    default="auto",
    show_default=True,
    help="What runs the network; the precision is the bundle's.",
)
@click.option("--batch-size", "-b", type=click.IntRange(min=1), help="Images a forward pass (default: by engine).")
@click.option(
    "--workers",
    "-j",
    type=click.IntRange(min=0),
    help="Decoding processes; 0 decodes in this one (default: one a core).",
)
@options.overwrite
@options.quiet
@options.json_option
def predict(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    bundle: str,
    images: tuple[str, ...],
    top: int,
    out: str | None,
    weights: str | None,
    **machine: Any,
) -> None:
    """Classify IMAGES, files or folders of them, with the classifier in BUNDLE.

    Prints CSV (image, class, probability, and with --top K the next classes) or, with --json, one JSON document. An
    image that cannot be read is listed with its reason and changes nothing for the others; the exit status is 1 only
    where none could be classified.
    """
    import io
    import json
    import sys

    from classifiers.models.bundle import load_bundle
    from classifiers.models.prediction import predict_images
    from featstore.errors import ImageSetError
    from featstore.system import fsio

    target = None if out is None else options.fresh_path(out, overwrite)
    classifier = load_bundle(bundle)
    with options.reporter(quiet) as report:
        found = predict_images(classifier, images, weights=weights, progress=report, **machine)
    if as_json:
        text = json.dumps(found.to_json(top), indent=2, ensure_ascii=True, allow_nan=False) + "\n"
    else:
        lines = io.StringIO()
        found.write_csv(lines, top)
        text = lines.getvalue()
    if target is None:
        sys.stdout.write(text)
    else:
        fsio.replace(target, text.encode("utf-8"))
    if not as_json or target is not None:
        for path, reason in found.failed:
            options.say(f"failed: {path}: {reason}")
    if not found.images:
        raise ImageSetError(f"none of {len(found.failed)} images could be classified; the reasons are listed above")


if __name__ == "__main__":
    options.run(predict)
