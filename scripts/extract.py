"""`featstore extract`: build or complete the feature cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options

if TYPE_CHECKING:
    from featstore.images.image_set import ImageSet
    from featstore.images.reading import Reading


@click.command()
@click.argument("data", type=click.Path())
@click.option(
    "--store", "-s", required=True, type=options.StoreFolder(), metavar="DIR", help="The feature store; made if new."
)
@click.option("--dataset", metavar="NAME", help="Name of the image set (default: the folder's or file's name).")
@options.reading
@options.network
@options.engine
@click.option(
    "--split",
    metavar="NAME=FRACTION",
    multiple=True,
    callback=options.fractions,
    help="Hold out a part, e.g. test=0.2, where the data has none; repeatable. Kept by later runs.",
)
@click.option("--no-split", is_flag=True, help="Give up an earlier --split.")
@options.seed
@click.option(
    "--store-dtype",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="What the features are kept as. fp16 halves the disk and rounds them to 11 bits; kept apart likewise.",
)
@click.option("--content", is_flag=True, help="Hash every file again, also where size and time are as recorded.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed for a passing reason (time-out, crash).")
@click.option("--strict", is_flag=True, help="Refuse to mix rows from other engines or library versions.")
@click.option("--verbose", "-v", is_flag=True, help="Also tell how the weights file was read and the engine started.")
@options.quiet
@options.json_option
def extract(
    as_json: bool,
    quiet: bool,
    verbose: bool,
    data: str,
    store: str,
    split: dict[str, float],
    no_split: bool,
    seed: int,
    reading: Reading,
    **settings: Any,
) -> None:
    """Run a frozen network once over DATA and keep its features.

    DATA is a folder with one sub-folder a class, optionally under train/, val/ and test/; a known data set as it is
    unzipped (`featstore layouts` lists them); a list of paths and labels (.csv, .tsv, .txt, .jsonl); or a .zip, .tar or
    .tar.gz, WebDataset shards, Parquet files or the http(s) address of an archive, all read in place. What was found is
    told first. Only what the store lacks is computed. Ctrl-C keeps what is done; the next run goes on from there.
    """
    from featstore.discovery.summary import found_json
    from featstore.extract import extract as run
    from featstore.system.reporting import printable_path

    if split and no_split:
        raise click.UsageError("--split and --no-split exclude each other")
    if settings["jpeg_scaling"] and settings["nvjpeg"]:
        raise click.UsageError("--jpeg-scaling and --nvjpeg exclude each other")
    chosen = {} if no_split else (split or None)
    out = options.console()

    def tell(images: ImageSet) -> None:
        """Before the work: whoever sees that classes are wrong stops it now."""
        if not as_json:
            name = printable_path(os.fsencode(images.name))
            options.print_found(out, name, len(images), found_json(images))

    with options.told(lambda: _kept(store)), options.reporter(quiet) as report:
        result = run(
            data, store, split=chosen, split_seed=seed, progress=report, told=tell, reading=reading, **settings
        )
    if as_json:
        options.emit(result.to_json())
        return
    for node in result.to_json()["features"]:
        network = f"{node['backbone']} {node['node']} {node['pool']} {options.numbers(node)} {node['input']}"
        what = f"{network} ({node['dim']} numbers, weights {node['weights']})"
        out.print(f"{node['key']}  {what}")
    speed = ""
    if result.computed:
        speed = f", {result.images_per_second:.1f} images/s, {result.waiting:.0%} waiting for data"
        speed += f", after {result.preparation_seconds:.1f} s of preparing the engine"
        if how := [str(result.provenance[what]) for what in ("engine", "device") if what in result.provenance]:
            speed += f" ({' on '.join(how)})"
    out.print(
        f"{printable_path(os.fsencode(result.dataset))}: {result.images} images, computed {result.computed}, "
        f"cached {result.cached}, failed {len(result.failed)} in {result.seconds:.1f} s{speed}"
    )
    for note in result.notes:
        out.print(f"note: {options.typed(note)}")
    if verbose and result.weights_record:
        out.print(f"weights: {options.typed(result.weights_record)}")
    if verbose and result.engine_start:
        out.print(f"engine: {options.typed(result.engine_start)}")
    for path, reason in result.failed[:20]:
        out.print(f"  failed: {path}: {reason}")
    if len(result.failed) > 20:
        out.print(f"  and {len(result.failed) - 20} more: featstore info {store}")


def _kept(store: str) -> str:
    """What stays after Ctrl-C."""
    if not Path(store, "store.json").exists():
        return "nothing was written"
    return f"what was computed stays in {store}; the same command goes on from there"


if __name__ == "__main__":
    options.run(extract)
