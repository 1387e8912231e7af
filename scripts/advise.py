"""`featstore advise`: is the cache enough?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options

if TYPE_CHECKING:
    from classifiers.advice.decision import Advice


@click.command()
@options.store
@options.features
@options.seed
@click.option(
    "--groups",
    metavar="auto|none|REGEX",
    help="Images for which it catches the same text count as one source.  [default: auto, looks for copies]",
)
@click.option(
    "--extract",
    "data",
    type=click.Path(),
    metavar="DATA",
    help="Cache the nodes that a layer curve lacks first, from these images.",
)
@click.option(
    "--pilot",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Fine-tune for so long, on a part of the training images, and correct the verdict by what that shows.",
)
@click.option(
    "--report",
    type=click.Path(),
    metavar="DIR",
    help="Add the advice to the report that `featstore compare` wrote there.",
)
@options.device
@click.option("--workers", "-j", type=click.IntRange(min=0), help="Decoding processes (default: one a core).")
@options.quiet
@options.json_option
def advise(as_json: bool, quiet: bool, store: str, nodes: tuple[str, ...], report: str | None, **chosen: Any) -> None:
    """Say whether the features in STORE are enough, with every number behind it.

    One of five verdicts: the cache is enough, use an earlier node, reopen the top of the network, reopen all of it, or
    more (or cleaner) data first; with the gain to expect, its cost, and the next command. Nothing is judged on the test
    part. Several cached nodes make a layer curve, the best sign of a far domain: --extract DATA caches them.
    """
    from pathlib import Path

    from classifiers.advice.advice_report import add_to_report
    from classifiers.advice.advisor import advise as run
    from classifiers.advice.decision import VERDICTS
    from classifiers.report.report import Report
    from classifiers.training.regimes import REGIMES
    from featstore import FeatureStore

    if report is not None:
        Report.load(report)  # before the work
    place = chosen["weights"] if chosen["weights"] and Path(chosen["weights"]).is_file() else None
    with options.reporter(quiet) as tell:
        advice, notes = run(
            FeatureStore(store), nodes=nodes, weights_file=place, progress=tell, **options.selectors(**chosen)
        )
    advice, notes = _worded(advice), [options.typed(note) for note in notes]
    if report is not None:
        advice = add_to_report(Path(report), advice, store, worded=options.worded)
    if as_json:
        options.emit({**advice.to_json(), "notes": notes})
        return
    out = options.console()
    out.print(VERDICTS[advice.verdict] + _close(advice))
    out.print(_gain(advice))
    out.print(f"Regime {advice.regime} of 4: {REGIMES[advice.regime].title}.")
    if advice.cost is not None:
        out.print(f"Cost: {advice.cost['text']}.")
    for line in (*advice.reasons, *advice.evidence.leaks.get("texts", ()), *notes, _details(advice)):
        out.print(f"- {line}")
    before = f"{advice.first} {'Then' if advice.stops else 'As the images are now'}: " if advice.first else ""
    out.print(f"Next: {before}{advice.next}")


def _close(advice: Advice) -> str:
    """A word behind the verdict where it could as well be another."""
    settled = advice.pilot is not None and (advice.pilot["pays"] or advice.pilot["conclusive"])
    if not advice.reopening.close or settled:
        return ""
    return " It is close: " + (
        "--pilot MINUTES decides it." if advice.pilot is None else "a longer pilot would decide it."
    )


def _gain(advice: Advice) -> str:
    """The gain of what is advised, its interval, and over what."""
    from classifiers.formatting import points

    low, high = advice.expected_gain_ci
    return (
        f"Expected gain: {points(advice.expected_gain)} points of accuracy ({100 * advice.expected_gain_level:g} % "
        f"interval {points(low)} to {points(high)}) over the linear head on {advice.base_node}"
        + (", if the network were reopened all the same." if advice.verdict == "cache-is-enough" else ".")
    )


def _details(advice: Advice) -> str:
    """Scores that are weak signs on their own, for who knows them."""
    from classifiers.formatting import number

    scores = (f"{n.node} {number(n.log_me, 2)} and {number(n.h_score, 2)}" for n in advice.evidence.nodes)
    return f"Details: LogME and H-score by node, larger is better: {', '.join(scores)}."


def _worded(advice: Advice) -> Advice:
    """The advice in the words of commands: it is printed, and written into a report."""
    from dataclasses import replace

    evidence = replace(advice.evidence, leaks=options.worded(advice.evidence.leaks))
    return replace(advice, reasons=tuple(map(options.typed, advice.reasons)), evidence=evidence)


if __name__ == "__main__":
    options.run(advise)
