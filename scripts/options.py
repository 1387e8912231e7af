"""What the commands share: options declared once, and one way to print. How they run and fail is in `process`.

Results go to standard output, progress to standard error. Exit status: 0 done, 1 the work failed, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featstore_scripts.process import ProgressLines, run as run, say as say, say_failed as say_failed, told as told
from featstore_scripts.store_folder import StoreFolder as StoreFolder, not_a_bundle as not_a_bundle
from featstore_scripts.wording import typed as typed, worded as worded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from featstore.store.feature_stream import FeatureStream

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _together(*decorators: Decorator) -> Decorator:
    """One decorator that adds several options, shown in `--help` in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


store = click.argument("store", type=StoreFolder())
json_option = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document.")
quiet = click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace what is already at the output path.")
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is random."
)
budget = click.option(
    "--budget",
    type=click.Choice(["quick", "normal", "thorough"]),
    default="normal",
    show_default=True,
    help="How many candidates each head's search tries.",
)
folds = click.option(
    "--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Folds of the cross-validation."
)
dataset = click.option("--dataset", metavar="NAME", help="Data set in the store (default: the only one).")
stream = click.option(
    "--stream/--no-stream",
    default=None,
    help="Read the features in passes instead of holding them in memory (default: where they would take more than a "
    "quarter of what is free).",
)
allow_few = click.option(
    "--allow-few", is_flag=True, help="Go on where a class has fewer training images than there are folds."
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
    help="Where the network runs; auto takes a GPU if there is one.",
)  # fmt: skip
weights_file = click.option(
    "--weights", metavar="FILE", help="Where the network's weights are now, if not where they were when this was made."
)

features = _together(
    dataset,
    click.option("--backbone", metavar="NAME", help="Only features of this backbone."),
    click.option("--node", "nodes", metavar="NODE", multiple=True, help="Only features of this node; repeatable."),
    click.option("--pool", type=click.Choice(["avg", "max", "gem", "flatten"]), help="Only features pooled so."),
    click.option("--weights", metavar="LABEL", help="Only features of these weights (label or SHA-256)."),
    click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="Only features of this precision."),
    click.option("--store-dtype", type=click.Choice(["fp32", "fp16"]), help="Only features that are kept as this."),
    click.option("--key", metavar="KEY", help="Only the feature set with this key (as `info` shows)."),
)
"""Selectors of features in a store; the command receives dataset, backbone, nodes, pool, weights, precision,
store_dtype, key."""

network = _together(
    click.option("--backbone", metavar="NAME", default="mobilenet_v3_large", show_default=True,
                 help="One of `featstore backbones`."),
    click.option("--node", "nodes", metavar="NODE", multiple=True, default=("avgpool",), show_default=True,
                 help="Where to cut the network, one of `featstore nodes BACKBONE`; repeatable."),
    click.option("--pool", type=click.Choice(["avg", "max", "gem", "flatten"]), default="avg", show_default=True,
                 help="How a spatial map becomes one vector."),
    click.option("--weights", metavar="auto|none|NAME|FILE|URL", default="auto", show_default=True,
                 help="Pretrained weights: torchvision's default, seeded random, a torchvision name, file or URL."),
    click.option("--input-size", type=click.IntRange(min=32), metavar="PIXELS",
                 help="Side of the network's input (default: as the weights prescribe, mostly 224)."),
    click.option("--weights-seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Seed of the weights with --weights none."),
    click.option("--jpeg-scaling", is_flag=True,
                 help="Decode large JPEG files at 1/2, 1/4 or 1/8 of their size: faster, and slightly other numbers, "
                      "kept apart from those of whole decoding."),
    click.option("--nvjpeg", is_flag=True,
                 help="Decode JPEG files on the CUDA device: several times as fast, and slightly other numbers, "
                      "kept apart likewise."),
    click.option("--bit-depth", type=click.IntRange(9, 16), metavar="BITS",
                 help="Take 16-bit files as holding so many bits, e.g. 12; kept apart likewise."),
    click.option("--allow-truncated", is_flag=True,
                 help="Decode files that are cut short as far as they go; kept apart likewise."),
)  # fmt: skip
"""A network to build; the command receives backbone, nodes, pool, weights, input_size, weights_seed, jpeg_scaling,
nvjpeg, bit_depth, allow_truncated."""

classifier = _together(
    click.option("--bundle", metavar="BUNDLE", help="A classifier of your own, from `featstore train`."),
    click.option("--backbone", metavar="NAME",
                 help="Without --bundle: the network whose ImageNet head is used (default: mobilenet_v3_large)."),
    click.option("--weights", metavar="auto|none|NAME|FILE",
                 help="The network's weights (default: auto; with --bundle: where its own are now)."),
    click.option("--input-size", type=click.IntRange(min=32), metavar="PIXELS",
                 help="Without --bundle: side of the network's input (default: as the weights prescribe)."),
    device,
)  # fmt: skip
"""A classifier of pixels; the command receives bundle, backbone, weights, input_size, device."""


def one_classifier(bundle: str | None, backbone: str | None, input_size: int | None) -> None:
    """Refuse two classifiers at once."""
    for option, value in (("--backbone", backbone), ("--input-size", input_size)):
        if bundle is not None and value is not None:
            raise click.UsageError(f"--bundle brings its own network, so it goes without {option}")


class Devices(click.ParamType):
    """A device, or several with commas; which are there is found out when they are used."""

    name = "devices"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as it is, where it is well formed."""
        if not re.fullmatch(r"(auto|mps|cpu|cuda)|(cpu|cuda:\d+)(,(cpu|cuda:\d+))*", value):
            several = "or several of cpu and cuda:N with commas"
            self.fail(f"{value!r} is not auto, cpu, cuda, mps, cuda:N, {several}", param, ctx)
        return str(value)


engine = _together(
    click.option("--device", type=Devices(), default="auto", show_default=True,
                 metavar="auto|cpu|cuda|mps|cuda:N,...",
                 help="Where the network runs; auto takes the GPUs if there are any, and several for many images. "
                      "Of cpu and cuda:N there may be several, with commas."),
    click.option("--engine", type=click.Choice(["auto", "eager", "compile", "openvino"]), default="auto",
                 show_default=True, help="What runs the network."),
    click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True,
                 help="Arithmetic of the network; part of what makes features the same."),
    click.option("--batch-size", "-b", type=click.IntRange(min=1), help="Images a forward pass (default: by engine)."),
    click.option("--workers", "-j", type=click.IntRange(min=0),
                 help="Decoding processes; 0 decodes in this one (default: one a core)."),
)  # fmt: skip
"""How a network is run; the command receives device, engine, precision, batch_size, workers."""


path_column = click.option("--path-column", metavar="NAME", help="Column of the list that holds the paths.")
root = click.option("--root", metavar="DIR", help="Folder that the paths in the list start from.")
suffix = click.option("--suffix", metavar="TEXT", default="", help="Added to every path in the list, such as .jpg.")
_reading = _together(
    click.option("--labels", metavar="REGEX|FILE",
                 help="Where the classes come from: the first group of a regular expression in each image's path, or a "
                      "list of images and classes (default: the folders, or what the data set brings)."),
    click.option("--layout", metavar="NAME", default="auto", show_default=True,
                 help="How the folders are arranged, one of `featstore layouts`."),
    click.option("--class-from", type=click.Choice(["top", "leaf", "path"]),
                 help="Of nested class folders, which is the class: the outermost, the innermost, or all of them."),
    click.option("--label-column", metavar="NAME", help="Column of the list, or kind of label, that is the class."),
    path_column,
    click.option("--split-column", metavar="NAME", help="Column of the list that holds the parts (train, val, test)."),
    click.option("--group-column", metavar="NAME", help="Column of the list that says which images belong together."),
    root,
    suffix,
    click.option("--unlabelled", is_flag=True, help="Take images without a label, too; heads leave them out."),
    click.option("--allow", metavar="NAME", multiple=True,
                 help="Go on in spite of a doubt, by the name that the refusal gives; repeatable."),
)  # fmt: skip
READING = ("labels", "layout", "class_from", "label_column", "path_column", "split_column", "group_column", "root",
           "suffix", "unlabelled", "allow")  # fmt: skip


def reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """How data are to be read; the command receives one `reading`, a `featstore.images.reading.Reading`."""

    @functools.wraps(function)
    def with_reading(**given: Any) -> Any:
        from featstore.images.reading import Reading

        said = {name: given.pop(name) for name in READING}
        return function(reading=Reading(**said), **given)

    return _reading(with_reading)


apply_network = _together(
    weights_file,
    device,
    click.option("--engine", type=click.Choice(["auto", "eager", "compile", "openvino"]), default="auto",
                 show_default=True, help="What runs the network; the precision is the bundle's."),
    click.option("--batch-size", "-b", type=click.IntRange(min=1), help="Images a forward pass (default: by engine)."),
    click.option("--workers", "-j", type=click.IntRange(min=0),
                 help="Decoding processes; 0 decodes in this one (default: one a core)."),
)  # fmt: skip
"""How a bundle's network is run; the command receives weights, device, engine, batch_size, workers."""


def selectors(**options: Any) -> dict[str, Any]:
    """The given selector options, without the ones left out."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def streamed(
    place: str, dataset: str | None, nodes: tuple[str, ...], chosen: Mapping[str, Any], stream: bool | None
) -> FeatureStream | None:
    """The one feature set that fits, in chunks, where it is to be streamed; None where memory holds all that fit."""
    if stream is False:
        return None
    from classifiers.streamed.memory_limit import free_memory, too_large
    from featstore import FeatureStore
    from featstore.errors import FeatstoreError, StoreNotFoundError
    from featstore.store.selection import FeatureSelection

    selection = FeatureSelection(FeatureStore(place), dict(chosen), nodes)
    try:
        infos = selection.every()
    except FeatstoreError:
        if stream:
            raise
        return None  # who reads them says it
    memory = free_memory()
    if not stream:
        if not any(too_large(4 * info.rows * info.dim, memory) for info in infos):
            return None
        large = []  # of the data set that is asked for: others may lie in the same store
        for info in infos:
            try:
                found = selection.stream(dataset, info)
            except StoreNotFoundError:
                continue
            except FeatstoreError:
                return None  # who reads them says it
            large.append((info, too_large(found.nbytes, memory)))
        infos = [info for info, _ in large]
        if not any(too for _, too in large):
            return None
    if len(infos) > 1:
        raise click.UsageError(
            f"{len(infos)} feature sets fit, and streaming takes one: say which, for instance with --node"
        )
    found = selection.stream(dataset, infos[0])
    return found if stream or too_large(found.nbytes, memory) else None


def fractions(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Parse repeated NAME=FRACTION, e.g. `--split test=0.2`."""
    parsed: dict[str, float] = {}
    for value in values:
        name, equals, number = value.partition("=")
        try:
            fraction = float(number)
        except ValueError:
            fraction = -1.0
        if not equals or name not in ("val", "test") or not 0 < fraction < 1:
            raise click.BadParameter(f"{value!r} is not NAME=FRACTION with val or test and a fraction between 0 and 1")
        parsed[name] = fraction
    return parsed


def numbers(features: Mapping[str, Any]) -> str:
    """The precision of features, and what they were rounded to, as `Fingerprint.numbers`."""
    computed, stored = features["precision"], features["store_dtype"]
    return f"{computed} rounded to {stored}" if stored == "fp16" != computed else str(computed)


def emit(document: dict[str, Any]) -> None:
    """Print exactly one JSON document on standard output, its sentences in the words of commands."""
    click.echo(json.dumps(worded(document), indent=2, ensure_ascii=True, allow_nan=False))


def console(stderr: bool = False) -> Console:
    """A rich console that never guesses at file names as markup or emoji."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_found(console: Console, name: str, images: int, found: Mapping[str, Any]) -> None:
    """What was found of a data set, with its notes and doubts."""
    from featstore.discovery.summary import found_lines

    for line in found_lines(name, images, found):
        console.print(line)
    for note in found["notes"]:
        console.print(f"note: {typed(note)}")
    for doubt in found["doubts"]:
        console.print(f"doubt ({doubt['name']}): {typed(doubt['text'])}")


@contextmanager
def progress(quiet: bool = False) -> Iterator[Progress]:
    """A rich progress display on standard error, silent with `quiet` or where that is no terminal; see `reporter`.

    A task shows its description, bar, count, rate, ETA and the field `note`:
    `task = bar.add_task("decode", total=n, note="")`, `bar.update(task, completed=i, note="waiting 3 %")`.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.3g}/s" if speed else "", style="progress.data.speed")

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    ) as bar:
        yield bar


@contextmanager
def reporter(quiet: bool = False) -> Iterator[Callable[[str, int, int, str], None]]:
    """The callback `(stage, done, total, note)` that library calls report to.

    Drawn as one bar a stage; where standard error is no terminal, a plain line a minute. Silent with `quiet`.
    """
    if not quiet and not sys.stderr.isatty():
        with ProgressLines(say) as lines:
            yield lines
        return
    with progress(quiet) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total or None, note=note)
            bar.update(tasks[stage], completed=done, total=total or None, note=note)

        yield report


def fresh_path(path: str, overwrite: bool) -> Path:
    """The output path, refused where something is there already and may not be replaced."""
    from featstore.errors import OutputExistsError

    target = Path(path)
    if not overwrite and (target.exists() or target.is_symlink()):
        raise OutputExistsError(f"{path} exists already; name another place or add --overwrite")
    return target


@contextmanager
def output_folder(path: str) -> Iterator[Path]:
    """A folder for results, made before the work so that a disk that refuses is known at once.

    Where the work fails, what was made and is still empty is taken away again.
    """
    from featstore.system import fsio

    folder = Path(path)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    fsio.make_directory(folder)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty: something was written, and stays
            for place in made:
                place.rmdir()
        raise
