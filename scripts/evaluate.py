"""`featstore evaluate`: judge a saved bundle on new labelled images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options, report_folder

if TYPE_CHECKING:
    from featstore.images.image_set import ImageSet
    from featstore.images.reading import Reading


@click.command()
@click.argument("bundle", type=click.Path())
@click.argument("data", type=click.Path())
@report_folder.out
@click.option(
    "--part",
    type=click.Choice(["train", "val", "test", "all"]),
    help="Which images judge, where DATA has parts (default: test if there is one, else all).",
)
@options.reading
@options.apply_network
@options.overwrite
@options.quiet
@options.json_option
def evaluate(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    bundle: str,
    data: str,
    out: str,
    part: str | None,
    reading: Reading,
    **machine: Any,
) -> None:
    """Judge the classifier in BUNDLE on the labelled images in DATA and write a report.

    DATA is read as `featstore extract` reads it: a folder, a list or an archive. Nothing is trained and no store is
    needed; images without a label are left out. The report is that of `featstore compare` with one head.
    """
    from classifiers.comparison.bundle_evaluation import evaluate_bundle
    from classifiers.models.bundle import load_bundle
    from classifiers.report.report import Report
    from featstore.discovery.doubts import require_no_doubt
    from featstore.discovery.scanning import scan
    from featstore.discovery.summary import found_json

    report_folder.refuse_existing(Path(out), overwrite)
    classifier = load_bundle(bundle)
    with (
        options.told("not finished: nothing was written"),
        options.output_folder(out) as folder,
        options.reporter(quiet) as report,
    ):
        images = scan(data, progress=lambda done, total: report("scan", done, total, ""), reading=reading)
        # That classifiers need two classes is of no account where none is made.
        doubts = [doubt for doubt in images.about["doubts"] if doubt["name"] != "one-class"]
        images = images.with_about(doubts=doubts)
        if not as_json:
            options.print_found(options.console(stderr=True), images.name, len(images), found_json(images))
        require_no_doubt(images, reading.allow)
        chosen, words = _part(images, part)
        if not as_json:
            options.say(f"judged on {words}")
        judged = evaluate_bundle(classifier, chosen, progress=report, **machine)
        judged = Report(options.worded(judged.data))
        judged.write(folder)
    report_folder.show(judged, folder, as_json)


def _part(images: ImageSet, part: str | None) -> tuple[ImageSet, str]:
    """The images that judge, and what they are in words."""
    import numpy as np

    from classifiers.formatting import count
    from featstore.errors import ImageSetError

    there = [name for name in ("train", "val", "test") if (images.splits == name).any()]
    if part is None:
        part = "test" if "test" in there else "all"
    if part == "all":
        chosen, words = images, count(len(images), "image")
        words += f", those of {' and '.join(there)} together" if len(there) > 1 else ""
    elif part in there:
        chosen = images.subset(images.splits == part)
        words = f"{count(len(chosen), 'image')} of the part {part}"
    else:
        found = f"its parts are {', '.join(there)}" if there else "it has no parts"
        raise ImageSetError(f"{images.name!r} has no images in {part}: {found}; leave out --part to judge on all")
    # What is left is judged as a whole, but a part is called what it is.
    kept = part in ("val", "test")
    return chosen if kept else dataclasses.replace(chosen, splits=np.full(len(chosen), "", "<U5")), words


if __name__ == "__main__":
    options.run(evaluate)
