"""`featstore finetune`: reopen the backbone."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from featstore_scripts import options

_SHARE = click.FloatRange(0, 1)
_RATE = click.FloatRange(0, min_open=True)


@click.command()
@options.store
@click.argument("data", type=click.Path())
@click.option("--out", "-o", required=True, type=click.Path(), metavar="BUNDLE", help="The bundle to write.")
@options.features
@click.option(
    "--regime",
    type=click.Choice(["auto", "1", "2", "3", "4"]),
    default="auto",
    show_default=True,
    help="1 small and similar to ImageNet: the head only; 2 small and different: a head on an earlier node; "
    "3 large and similar: the whole network, small steps; 4 large and different: the whole network.",
)
@click.option("--unfreeze", "reopen", metavar="NODE", help="Train this node and all behind it; also: all, head.")
@click.option("--from-scratch", is_flag=True, default=None, help="Random weights instead of pretrained, to compare.")
@click.option("--head", default="logistic", show_default=True, metavar="NAME", help="The cached head to start from.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training images (default: by number).")
@click.option("--batch-size", "-b", type=click.IntRange(min=1), help="Images an optimiser step.  [default: 32]")
@click.option("--learning-rate", type=_RATE, help="Of the network's last block (default: by regime).")
@click.option("--lowest-rate", type=click.FloatRange(0, 1, min_open=True), help="Share of it for the first block.")
@click.option("--head-rate", type=_RATE, help="Learning rate of the head (default: by regime).")
@click.option("--warmup", type=click.FloatRange(0, 1, max_open=True), help="Share of the steps with rising rates.")
@click.option("--weight-decay", type=click.FloatRange(0), help="Of AdamW.  [default: 0.05]")
@click.option("--label-smoothing", type=click.FloatRange(0, 1, max_open=True), help="[default: 0.1]")
@click.option("--clip", type=_RATE, help="Largest norm of the gradient.  [default: 1]")
@click.option("--ema", type=click.FloatRange(0, 1, max_open=True), help="Decay of the weights' average.")
@click.option("--patience", type=click.IntRange(min=1), help="Epochs without a better validation before it stops.")
@click.option("--adapt-statistics", is_flag=True, default=None, help="Batch norm follows the data; frozen by default.")
@click.option(
    "--keep-any",
    is_flag=True,
    default=None,
    help="Keep the best epoch, also where the validation images cannot tell it from the cached head.",
)
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Weigh rare classes up.")
@click.option("--mixup", type=click.FloatRange(0), help="Mix pairs of images; 0.2 is usual.  [default: 0]")
@click.option(
    "--smallest-crop",
    "smallest",
    type=click.FloatRange(0, 1, min_open=True),
    help="Least share of an image's area in a random crop (default: by regime).",
)
@click.option("--turn/--no-turn", default=None, help="All eight orientations, for images without an upside.")
@click.option("--colour", type=click.FloatRange(0, 1, max_open=True), help="How much colours vary.  [default: 0.2]")
@click.option("--no-augmentation", is_flag=True, help="Show every image as it will be seen in use.")
@click.option(
    "--views",
    type=click.IntRange(min=0),
    help="Where a part stays frozen: cached views of each image; 0 caches none.  [default: 4]",
)
@click.option("--valid-fraction", type=_SHARE, help="Share of the training part that chooses the epoch.")
@click.option(
    "--groups",
    metavar="auto|none|REGEX",
    help="Images for which it catches the same text stay on one side.  [default: auto, looks for copies]",
)
@click.option(
    "--train-precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    help="While training (default: half precision on CUDA).",
)
@options.seed
@options.budget
@options.device
@click.option(
    "--engine",
    type=click.Choice(["auto", "eager", "compile", "openvino"]),
    default="auto",
    show_default=True,
    help="What extracts features; training is torch's own.",
)
@click.option("--workers", "-j", type=click.IntRange(min=0), help="Decoding processes (default: one a core).")
@click.option("--tensorboard", type=click.Path(), metavar="DIR", help="Write logs for TensorBoard there.")
@click.option("--restart", is_flag=True, help="Throw an interrupted run away instead of going on with it.")
@options.overwrite
@options.quiet
@options.json_option
def finetune(
    as_json: bool,
    quiet: bool,
    store: str,
    data: str,
    out: str,
    tensorboard: str | None,
    regime: str,
    no_augmentation: bool,
    train_precision: str | None,
    **settings: Any,
) -> None:
    """Fine-tune the network whose features of DATA are in STORE, starting from its cached head.

    Writes BUNDLE and, beside it, the tuned network's weights, which `extract --weights` takes; its features go into
    STORE, to be compared with the frozen ones. An interrupted run goes on when it is called again with the same
    options.
    """
    from pathlib import Path

    names = ("dataset", "backbone", "nodes", "pool", "weights", "precision", "store_dtype", "key")
    chosen = {name: settings.pop(name) for name in names}
    nodes = chosen.pop("nodes")
    if len(nodes) > 1:
        raise click.UsageError("a fine-tune starts from one node; give --node once")
    dataset, weights = chosen.pop("dataset"), chosen["weights"]
    select = options.selectors(node=nodes[0] if nodes else None, **chosen)
    place = weights if weights and Path(weights).is_file() else None
    if not quiet:
        options.say("looking at the cached features first; how long the training takes is told before it starts")
    with ExitStack() as stack:
        report = stack.enter_context(options.reporter(quiet))
        report("load", 0, 1, "libraries")
        from classifiers.transfer.fine_tuning import finetune as run  # takes seconds, on a busy machine a minute

        report("load", 1, 1, "")
        log = None
        if tensorboard is not None:
            from classifiers.transfer.tensorboard_log import TensorBoardLog

            log = stack.enter_context(TensorBoardLog(tensorboard))
        stack.enter_context(options.told(lambda: _left(out)))
        result = run(
            data, store, out, dataset=dataset, select=select, weights=place, progress=report, log=log,
            announce=None if quiet else options.say,
            regime=regime if regime == "auto" else int(regime), precision=train_precision,
            augment=False if no_augmentation else None, **settings,
        )  # fmt: skip
    document = options.worded(result.to_json())
    if as_json:
        options.emit(document)
        return
    _show(document)


def _left(out: str) -> str:
    """What stays after Ctrl-C."""
    from classifiers.transfer.fine_tuning import checkpoint_folder

    checkpoints = checkpoint_folder(out)
    if not checkpoints.begun:
        return "the training had not begun: nothing of it was written"
    return f"the training so far stays in {checkpoints.path}; the same command goes on from there"


def _show(document: dict[str, Any]) -> None:
    """Print the result for people."""
    from classifiers.formatting import count, interval, percent, probability, seconds

    show = options.console()
    what = {"head": "the head only", "all": "the whole network"}.get(
        document["reopen"], f"{document['reopen']} and everything behind it"
    )
    network = f"{document['backbone']}, weights {document['weights']}, input {document['input_size']} pixels"
    show.print(f"{network}: trained {what}")
    for note in document["notes"]:
        show.print(f"note: {note}")
    each, whole = seconds(document["seconds_per_epoch"]), seconds(document["seconds"])
    stopped = f"stopped: {document['stopped']}; " if document["stopped"] else ""
    kept = document["best_epoch"]
    show.print(f"{count(document['epochs'], 'epoch')} of {each}, kept epoch {kept}; {stopped}{whole} in all")
    judged = f"{document['images']} {document['judged_on']} images"
    for name, key in (("cached head", "accuracy_cached"), ("fine-tuned ", "accuracy_tuned")):
        show.print(f"{name}  {percent(document[key])} %  ({interval(document[f'{key}_ci'])} %)")
    show.print(f"on {judged}; exact McNemar test: p = {probability(document['p'])}")
    show.print(document["verdict"])
    if document["judged_on"] == "validation":
        why = "these images also chose the epoch, which flatters the fine-tune"
        if not kept:
            why = "a cached head was judged that did not see these images; that in the bundle was trained on them, too"
        show.print(f"note: there is no test part; {why}")
    show.print(f"saved {document['bundle']}" + (f" and {document['weights_file']}" if document["weights_file"] else ""))


if __name__ == "__main__":
    options.run(finetune)
