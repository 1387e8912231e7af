"""`featstore predict`: classify images in files, folders, lists or archives with a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from featstore_scripts import options

LISTED = 20
"""Files of one kind that are named; the JSON has all."""


def _columns(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Split names at commas."""
    return () if value is None else tuple(name.strip() for name in value.split(","))


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
@click.option("--wide", is_flag=True, help="One column a class, with its probability.")
@click.option(
    "--columns",
    metavar="NAME,...",
    callback=_columns,
    help="Only these two or three columns, under these names: image, class, probability; e.g. id,label. With --wide "
    "the name of the first.",
)
@click.option(
    "--id",
    metavar="path|name|stem|COLUMN",
    default="path",
    show_default=True,
    help="What the first column holds: the image's path, its file's name, that without the ending, or what a column of "
    "the list says.",
)
@options.path_column
@options.root
@options.suffix
@options.apply_network
@options.overwrite
@click.option("--verbose", "-v", is_flag=True, help="Also tell how the engine started.")
@options.quiet
@options.json_option
def predict(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    verbose: bool,
    bundle: str,
    images: tuple[str, ...],
    top: int,
    out: str | None,
    wide: bool,
    columns: tuple[str, ...],
    path_column: str | None,
    root: str | None,
    suffix: str,
    **how: Any,
) -> None:
    """Classify IMAGES with the classifier in BUNDLE: files, folders, lists (.csv, .tsv, .txt, .jsonl) or archives.

    Prints CSV (image, class, probability, and with --top K the next classes) or, with --json, one JSON document. An
    image that cannot be read is listed with its reason and changes nothing for the others, and so is every other file;
    the exit status is 1 only where no image could be classified.
    """
    import io
    import json
    import sys

    from classifiers.models.bundle import load_bundle
    from classifiers.models.prediction import predict_images
    from featstore.errors import ImageSetError
    from featstore.images.reading import Reading
    from featstore.system import fsio

    if as_json and (wide or columns):
        raise click.UsageError("--wide and --columns are about CSV; leave out --json")
    if top > 1 and (wide or columns):
        raise click.UsageError(f"--top lists more classes than {'--wide' if wide else '--columns'} has columns for")
    if columns and len(columns) not in ((1,) if wide else (2, 3)):
        expected = "one name, that of the first column" if wide else "two names or three, such as id,label"
        raise click.UsageError(f"--columns has {len(columns)} name{'s' * (len(columns) != 1)}; expected {expected}")
    target = None if out is None else options.fresh_path(out, overwrite)
    classifier = load_bundle(bundle, for_predictions=True)
    reading = Reading(path_column=path_column, root=root, suffix=suffix)
    with options.told("nothing was written"), options.reporter(quiet) as report:
        found = predict_images(classifier, images, reading=reading, progress=report, **how)
    if as_json:
        text = json.dumps(options.worded(found.to_json(top)), indent=2, ensure_ascii=True, allow_nan=False) + "\n"
    else:
        lines = io.StringIO()
        found.write_csv(lines, top, wide=wide, columns=columns)
        text = lines.getvalue()
    if target is None:
        sys.stdout.write(text)
    else:
        fsio.replace(target, text.encode("utf-8"))
    if not as_json or target is not None:
        for note in found.notes:
            options.say(f"note: {options.typed(note)}")
        if verbose and found.engine_start:
            options.say(f"engine: {options.typed(found.engine_start)}")
        _list("failed", found.failed)
        _list("skipped", found.skipped)
    if not found.images:
        raise ImageSetError(f"none of {len(found.failed)} images could be classified; the reasons are listed above")


def _list(what: str, entries: Sequence[tuple[str, str]]) -> None:
    """Name what was left out, at most `LISTED` of it, on standard error."""
    for path, reason in entries[:LISTED]:
        options.say(f"{what}: {path}: {options.typed(reason)}")
    if len(entries) > LISTED:
        options.say(f"{what}: and {len(entries) - LISTED} more, {len(entries)} in all; --json lists them")


if __name__ == "__main__":
    options.run(predict)
