"""`featstore advise`: is the cache enough?"""

from __future__ import annotations

import shlex
from typing import Any

import click

from featstore_scripts import options


@click.command()
@click.argument("store", type=click.Path())
@options.features
@options.seed
@click.option("--groups", metavar="REGEX", help="Images for which it catches the same text count as one source.")
@options.quiet
@options.json_option
def advise(
    as_json: bool, quiet: bool, store: str, nodes: tuple[str, ...], seed: int, groups: str | None, **chosen: Any
) -> None:
    """Say whether the features in STORE are enough, with every number behind it.

    The test part is not looked at. Cache several nodes of one network first (`extract --node features.10 --node
    avgpool`): the layer curve is the best sign of a far domain.
    """
    from classifiers.advise import VERDICTS
    from classifiers.counsel import counsel
    from featstore import FeatureStore

    with options.reporter(quiet) as report:
        advice, notes = counsel(
            FeatureStore(store), nodes=nodes, groups=groups, seed=seed, progress=report, **options.selectors(**chosen)
        )
    if as_json:
        options.emit(advice.to_json())
        return
    out = options.console()
    out.print(VERDICTS[advice.verdict])
    low, high = advice.expected_gain_ci
    out.print(
        f"Expected gain: {100 * advice.expected_gain:+.1f} points of accuracy ({100 * low:+.1f} to {100 * high:+.1f}), "
        f"over a linear head on the last cached node. Regime {advice.regime} of 4."
    )
    for line in (*advice.reasons, *notes):
        out.print(f"- {line}")
    out.print(f"Next: {advice.next or shlex.join(['featstore', 'compare', store, '-o', 'report'])}")


if __name__ == "__main__":
    options.run(advise)
