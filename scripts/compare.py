"""`featstore compare`: tune, fit and judge several heads on the same folds; write the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options, report_folder

if TYPE_CHECKING:
    from featstore.features import FeatureSet


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated list."""
    if value is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("names no head; give for instance logistic,svm,lightgbm")
    return names


def _pattern(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no regular expression before anything is computed."""
    import re

    from classifiers.formatting import quoted

    try:
        re.compile(value or "")
    except re.error as error:
        raise click.BadParameter(f"{quoted(value or '')} is no regular expression: {error}") from error
    return value


def _references(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...] | bool:
    """Split a comma-separated list; all and none stand for both references and for neither."""
    if value in ("all", "none"):
        return value == "all"
    known = ("majority", "pixels")
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names or (unknown := [name for name in names if name not in known]):
        if (alone := next((name for name in names if name in ("all", "none")), None)) is not None:
            raise click.BadParameter(f"{alone!r} stands alone; give all, none, or names such as majority,pixels")
        wrong = unknown[0] if names else value
        raise click.BadParameter(f"{wrong!r} is no reference; give majority, pixels, all or none")
    return names


@click.command()
@options.store
@report_folder.out
@click.option(
    "--heads",
    metavar="NAME,...",
    callback=_names,
    help="Which of logistic, svm, svm-rbf, lightgbm, mlp, knn, centroid and forest, e.g. logistic,svm; or all "
    "(default: logistic,svm,lightgbm,mlp,knn).",
)
@options.features
@options.seed
@options.budget
@options.folds
@click.option(
    "--protocol",
    type=click.Choice(["auto", "given", "holdout", "cv"]),
    default="auto",
    show_default=True,
    help="Who judges: the test part of the data (given), a quarter held out of all images (holdout), or all images in "
    "a nested cross-validation (cv); auto takes the test part where there is one.",
)
@click.option(
    "--references",
    metavar="all|none|NAME,...",
    callback=_references,
    default="all",
    show_default=True,
    help="What the heads are held against: majority (the most frequent class), pixels (a linear classifier of small "
    "thumbnails, which reads the image files), all or none of both.",
)
@click.option(
    "--groups",
    metavar="auto|REGEX",
    callback=_pattern,
    help="Images that stay on one side: those of one source that was found (auto), or whose paths give the same first "
    "group of a regular expression (or match).",
)
@click.option("--drop-leaks", is_flag=True, help="Leave out training images that have a copy in the test part.")
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Weigh rare classes up, in every head that can.")
@click.option("--allow-untested", is_flag=True, help="Go on where a class that trains has no test image.")
@options.allow_few
@options.stream
@options.overwrite
@options.quiet
@options.json_option
def compare(
    as_json: bool,
    stream: bool | None,
    quiet: bool,
    overwrite: bool,
    store: str,
    out: str,
    heads: tuple[str, ...] | None,
    dataset: str | None,
    nodes: tuple[str, ...],
    seed: int,
    budget: str,
    folds: int,
    protocol: str,
    references: tuple[str, ...] | bool,
    groups: str | None,
    drop_leaks: bool,
    class_weight: str | None,
    allow_untested: bool,
    allow_few: bool,
    **selectors: str | None,
) -> None:
    """Tune, fit and judge several heads on the cached features in STORE and write a report.

    Hyper-parameters are chosen by cross-validation of the training part, the same folds for every head; the test part
    is used once. Where several feature sets fit the selectors, all of them are compared.
    """  # fmt: skip
    from classifiers.comparison.job import compare as run
    from classifiers.heads.registry import candidates, check_name
    from classifiers.report.report import Report

    if heads is not None:
        heads = tuple(dict.fromkeys(n for name in heads for n in (candidates() if name == "all" else (name,))))
        for name in heads:
            check_name(name)
    report_folder.refuse_existing(Path(out), overwrite, store)
    chosen: dict[str, Any] = {} if heads is None else {"heads": heads}
    same: dict[str, Any] = {
        **chosen, "seed": seed, "budget": budget, "folds": folds, "protocol": protocol, "groups": groups,
        "drop_leaks": drop_leaks, "class_weight": class_weight, "allow_untested": allow_untested,
        "allow_few": allow_few, "store": store,
    }  # fmt: skip
    streamed = options.streamed(store, dataset, nodes, selectors, stream)
    if streamed is not None:
        from classifiers.comparison.streamed_job import compare_streamed

        with options.output_folder(out) as folder, options.reporter(quiet) as report:
            judged = compare_streamed(streamed, **same, progress=report, said=options.say)
            judged = Report(options.worded(judged.data))
            judged.write(folder)
        report_folder.show(judged, folder, as_json)
        return
    features = _features(store, dataset, nodes, selectors)
    with options.output_folder(out) as folder, options.reporter(quiet) as report:
        judged = run(features, **same, references=references, progress=report)
        judged = Report(options.worded(judged.data))
        judged.write(folder)
    report_folder.show(judged, folder, as_json)


def _features(
    place: str, dataset: str | None, nodes: tuple[str, ...], selectors: dict[str, str | None]
) -> list[FeatureSet]:
    """Every feature set that fits and is complete; those that are not are named on standard error."""
    from featstore import FeatureStore
    from featstore.store.selection import FeatureSelection

    selection = FeatureSelection(FeatureStore(place), selectors, nodes)
    found, refused = selection.read(dataset, selection.every())
    if not found:
        raise refused[0]
    for reason in refused:
        options.say(f"Left out: {options.typed(str(reason))}")
    return found


if __name__ == "__main__":
    options.run(compare)
