"""`featstore attack`: adversarial images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options

if TYPE_CHECKING:
    from classifiers.adversarial.attack import Attack
    from classifiers.adversarial.example import AdversarialExample
    from classifiers.models.image_classifier import ImageClassifier


def _epsilon(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Parse 4/255 or 0.0157."""
    from classifiers.adversarial.attack import parse_epsilon
    from featstore.errors import AttackError

    try:
        return None if value is None else parse_epsilon(value)
    except AttackError as error:
        raise click.BadParameter(str(error)) from error


def _epsilons(context: click.Context, parameter: click.Parameter, value: str | None) -> list[float] | None:
    """Parse a comma-separated list of them."""
    if value is None:
        return None
    return [number for part in value.split(",") if (number := _epsilon(context, parameter, part)) is not None]


@click.command()
@click.argument("images", nargs=-1, type=click.Path(), metavar="[IMAGE]...")
@click.option(
    "--out", "-o", required=True, type=click.Path(), metavar="DIR", help="Folder for the results; made if new."
)
@options.classifier
@click.option("--target", metavar="NAME", help="The class to be taken for, by name or index (default: any other).")
@click.option(
    "--true",
    "truth",
    metavar="NAME",
    help="The class that the images show (default: the class their folder is called by, else what the "
    "classifier says of them).",
)
@click.option(
    "--method",
    type=click.Choice(["pgd", "fgsm", "descent"]),
    default="pgd",
    show_default=True,
    help="Many bounded steps, one, or the lesson's gradient descent without a bound.",
)
@click.option(
    "--norm",
    type=click.Choice(["linf", "l2"]),
    default="linf",
    show_default=True,
    help="How the change is measured: by the most changed number, or by its Euclidean length.",
)
@click.option(
    "--epsilon",
    metavar="SIZE",
    callback=_epsilon,
    help="Largest change for pixels in 0 to 1, such as 4/255 or 0.0157 (default: 4/255; with l2: 1).",
)
@click.option("--steps", type=click.IntRange(min=1), help="Gradient steps (default: 40; descent: 200).")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Length of a step in the norm (default: 2.5 epsilon / steps).",
)
@click.option("--restarts", type=click.IntRange(min=1), default=1, show_default=True, help="Random starts of pgd.")
@click.option(
    "--goal",
    type=click.Choice(["cross-entropy", "margin"]),
    default="cross-entropy",
    show_default=True,
    help="What is followed: the loss, or the difference of the logits.",
)
@click.option(
    "--enough",
    type=click.FloatRange(0, 1),
    help="Stop at this probability of the wrong class (default: all steps; descent: 0.9).",
)
@click.option(
    "--dataset",
    metavar="DATA",
    help="Robust accuracy over the test part of an image folder or CSV, instead of single images.",
)
@click.option(
    "--epsilons",
    metavar="SIZE,...",
    callback=_epsilons,
    help="With --dataset: where to measure (default: 0 to 8 grey levels; with l2: 0 to 2).",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="With --dataset: N images drawn by the seed.")
@options.seed
@options.overwrite
@options.quiet
@options.json_option
def attack(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    images: tuple[str, ...],
    out: str,
    bundle: str | None,
    backbone: str | None,
    weights: str | None,
    input_size: int | None,
    device: str,
    target: str | None,
    truth: str | None,
    dataset: str | None,
    epsilons: list[float] | None,
    limit: int | None,
    epsilon: float | None,
    **settings: Any,
) -> None:
    """Change IMAGES, files or folders of them, a little, so that the classifier takes them for something else.

    The results are saved without loss, in the form in which the classifier opens them unchanged, and judged by what
    the saved file shows: `featstore predict` says the same of it. With --dataset: robust accuracy.
    """  # fmt: skip
    from classifiers.adversarial.attack import Attack
    from classifiers.models.classifier_choice import open_classifier
    from classifiers.models.image_classifier import freeze_on
    from featstore.engines.devices import find_device

    _check_usage(images, dataset, target, truth, epsilon, epsilons, limit)
    _check_method(epsilon, settings)
    options.one_classifier(bundle, backbone, input_size)
    usual = 1.0 if settings["norm"] == "l2" else 4 / 255
    how = Attack(epsilon=usual if epsilon is None else epsilon, **settings)
    there = find_device(device)
    classifier = open_classifier(bundle, backbone=backbone, weights=weights, input_size=input_size)
    freeze_on(classifier, there)
    if dataset is not None:
        _dataset(classifier, dataset, how, epsilons, limit, Path(out), overwrite, quiet, as_json, there)
    else:
        _images(classifier, images, how, target, truth, Path(out), overwrite, quiet, as_json, there)


def _check_usage(images: tuple[str, ...], dataset: str | None, target: str | None, truth: str | None,
                 epsilon: float | None, epsilons: list[float] | None, limit: int | None) -> None:  # fmt: skip
    if bool(images) == (dataset is not None):
        raise click.UsageError("name the images to attack, or a data set with --dataset (one of the two)")
    if dataset is not None and (target is not None or truth is not None):
        raise click.UsageError("--dataset knows its classes and counts any wrong one; leave out --target and --true")
    if dataset is None and (epsilons is not None or limit is not None):
        raise click.UsageError("--epsilons and --limit go with --dataset; use --epsilon for single images")
    if dataset is not None and epsilon is not None:
        raise click.UsageError("--epsilon goes with single images; use --epsilons with --dataset")


def _check_method(epsilon: float | None, settings: dict[str, Any]) -> None:
    """Refuse what the method would pay no heed to."""
    method = settings["method"]
    if method == "descent" and epsilon is not None:
        raise click.UsageError("descent knows no bound; leave out --epsilon, or use --method pgd")
    if method != "pgd" and settings["restarts"] > 1:
        raise click.UsageError(f"{method} has no random starts; leave out --restarts, or use --method pgd")
    if method == "fgsm" and (settings["steps"] is not None or settings["rate"] is not None):
        raise click.UsageError("fgsm is one step of length epsilon; leave out --steps and --rate, or use --method pgd")


def _images(classifier: ImageClassifier, images: tuple[str, ...], how: Attack, target: str | None, truth: str | None,
            out: Path, overwrite: bool, quiet: bool, as_json: bool, device: Any) -> None:  # fmt: skip
    from classifiers.adversarial.attack_report import AttackReport, summary
    from classifiers.adversarial.files import attack_files
    from classifiers.models.class_names import find_class
    from featstore.discovery.unlabelled import find_images

    aim = None if target is None else find_class(classifier.classes, target)
    shown = None if truth is None else find_class(classifier.classes, truth)
    found = find_images(images, lists=False)
    about = AttackReport(out, how, classifier.provenance(), classifier.caveats(), found.failed)
    with options.told(about.cut_short), options.reporter(quiet) as report:
        results, failed = attack_files(
            classifier, found.paths, how, out, target=aim, truth=shown, overwrite=overwrite, device=device,
            keep=lambda results, *rest: about.write(_worded(results), *rest), progress=report,
        )  # fmt: skip
    results = _worded(results)
    page = about.write_page(results, failed)
    if as_json:
        options.emit(about.document(results, failed) | {"page": str(page)})
        return
    for result in results:
        click.echo(_sentence(result))
    for path, reason in [*failed, *found.failed]:
        options.say_failed(path, reason)
    for note in about.notes:
        click.echo(f"note: {note}")
    click.echo(summary(results))
    click.echo(f"Page: {page.resolve()}")


def _worded(results: list[AdversarialExample]) -> list[AdversarialExample]:
    """Their notes in the words of commands."""
    from dataclasses import replace

    return [replace(result, notes=tuple(map(options.typed, result.notes))) for result in results]


def _dataset(classifier: ImageClassifier, data: str, how: Attack, epsilons: list[float] | None, limit: int | None,
             out: Path, overwrite: bool, quiet: bool, as_json: bool, device: Any) -> None:  # fmt: skip
    from classifiers.adversarial.attack import epsilon_text
    from classifiers.adversarial.robustness_report import report_robustness
    from classifiers.formatting import interval, percent
    from featstore.discovery.scanning import scan

    images = scan(data)
    for doubt in images.about["doubts"]:  # nothing is learnt from these labels: what is doubtful is told
        options.say(f"doubt ({doubt['name']}): {options.typed(doubt['text'])}")
    with options.told("not finished: nothing was written"), options.reporter(quiet) as report:
        document = report_robustness(
            classifier, images, how, out, epsilons=epsilons or None, limit=limit, overwrite=overwrite, device=device,
            progress=report,
        )  # fmt: skip
    if as_json:
        options.emit(document)
        return
    click.echo(
        f"{document['classifier']['description']} on {images.name}, {document['part']}: {how.method} in {how.norm}"
    )
    click.echo(f"{'epsilon':>10}{'accuracy %':>12}  95 % interval")
    for point in document["curve"]:
        size, share = epsilon_text(point["epsilon"], how.norm), percent(point["accuracy"])
        click.echo(f"{size:>10}{share:>12}  {interval(point['accuracy_ci'])}")
    for failure in document["failed"]:
        options.say_failed(failure["image"], failure["reason"])
    for note in document["notes"]:
        click.echo(f"note: {note}")
    click.echo(f"Curve: {Path(document['saved']['html']).resolve()}")


def _sentence(result: AdversarialExample) -> str:
    """One line for one image."""
    outcome = "fooled" if result.success else ("not fooled" if result.attempted else "not counted")
    notes = "".join(f"\n  note: {note}" for note in result.notes)
    return (
        f"{result.image}: {outcome}: {result.before} {result.before_probability:.3f} -> {result.after} "
        f"(confidence {result.confidence:.3f}; change linf {result.linf * 255:.0f}/255, l2 {result.l2:.3f}, "
        f"ssim {result.ssim:.4f}) {result.saved}{notes}"
    )


if __name__ == "__main__":
    options.run(attack)
