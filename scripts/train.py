"""`featstore train`: tune and fit one head, save it as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from featstore_scripts import options


@click.command()
@options.store
@click.option(
    "--head",
    default="logistic",
    show_default=True,
    metavar="NAME",
    help="logistic, svm, svm-rbf, lightgbm, mlp, knn, centroid or forest.",
)
@click.option("--out", "-o", required=True, type=click.Path(), metavar="BUNDLE", help="The bundle to write.")
@options.features
@options.seed
@options.budget
@options.folds
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Weigh rare classes up.")
@click.option(
    "--groups",
    metavar="REGEX",
    help="Images for which it catches the same text stay in one fold; auto: as `compare` suggests.",
)
@options.overwrite
@options.allow_few
@options.stream
@options.quiet
@options.json_option
def train(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    stream: bool | None,
    store: str,
    head: str,
    out: str,
    seed: int,
    budget: str,
    folds: int,
    class_weight: str | None,
    groups: str | None,
    allow_few: bool,
    nodes: tuple[str, ...],
    **selectors: Any,
) -> None:
    """Tune one head on the features in STORE, fit it on the training part and save it with its fingerprint.

    Parameters are chosen by cross-validation of the training part; the test part, where there is one, is used once.
    The bundle predicts from images: `featstore predict BUNDLE IMAGE...`.
    """
    from classifiers.formatting import percent
    from classifiers.heads.registry import check_name
    from classifiers.models.trained_head import train as run
    from featstore.store.feature_store import FeatureStore

    if len(nodes) > 1:
        raise click.UsageError("a head is trained on one node; give --node once")
    check_name(head)
    options.fresh_path(out, overwrite)
    same: dict[str, Any] = {
        "seed": seed, "budget": budget, "folds": folds, "class_weight": class_weight, "groups": groups,
        "allow_few": allow_few,
    }  # fmt: skip
    chosen = options.selectors(node=nodes[0] if nodes else None, **selectors)
    dataset = selectors.pop("dataset")
    streamed = options.streamed(store, dataset, nodes, selectors, stream)
    with options.reporter(quiet) as report:
        report("tune and fit", 0, 100, head)
        if streamed is None:
            trained = run(FeatureStore(store).read(**chosen), head, **same)
        else:
            from classifiers.models.streamed_head import train_streamed

            trained = train_streamed(streamed, head, **same, progress=report, said=options.say)
    weights = selectors["weights"]
    place = weights if weights and Path(weights).is_file() else None
    bundle = trained.save(out, weights=place, overwrite=overwrite)
    summary, f = trained.summary(), bundle.fingerprint
    if as_json:
        what = {"backbone": f.backbone, "node": f.node, "weights": f.weights, "feature_key": f.key}
        summary |= {"notes": trained.notes()}
        options.emit({"format": 1, "bundle": out, "head": head, "classes": list(bundle.classes), **what, **summary})
        return
    show = options.console()
    show.print(
        f"{head} on {f.backbone} {f.node} ({trained.head.n_features_in_} numbers, weights {f.weights}), "
        f"{summary['train']} images, {len(bundle.classes)} classes"
    )
    show.print(f"parameters: {', '.join(f'{k} {v}' for k, v in summary['params'].items()) or 'none'}")
    if summary["cv_accuracy"] is not None:
        cv = percent(summary["cv_accuracy"])
        show.print(f"accuracy in {folds}-fold cross-validation of the training part: {cv} %")
    if summary["accuracy"] is not None:
        low, high = summary["accuracy_ci"]
        test = percent(summary["accuracy"])
        show.print(f"accuracy on {summary['test']} test images: {test} % ({percent(low)} to {percent(high)} %)")
    for note in trained.notes():
        show.print(f"note: {options.typed(note)}")
    if f.weights.startswith("random"):
        show.print("note: the network's weights are random, not pretrained")
    show.print(f"saved {out}")


if __name__ == "__main__":
    options.run(train)
