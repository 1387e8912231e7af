"""`featstore gc`: remove what no snapshot needs."""

from __future__ import annotations

import click

from featstore_scripts import options


@click.command()
@options.store
@click.option("--dry-run", "-n", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--grace-minutes",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="Keep what is younger; less than an hour only where nobody writes to the store.",
)
@options.json_option
def gc(store: str, dry_run: bool, grace_minutes: float, as_json: bool) -> None:
    """Remove files of STORE that its last two snapshots do not need: left-overs of killed runs, compacted shards.

    The quarantine is kept; remove it by hand.
    """
    from rich.filesize import decimal

    from featstore.store.feature_store import FeatureStore

    done = FeatureStore(store).gc(dry_run, grace_seconds=60 * grace_minutes)
    if as_json:
        options.emit({"format": 1, "dry_run": dry_run, **vars(done)})
        return
    out = options.console()
    for path in done.files:
        out.print(f"{'would remove' if dry_run else 'removed'} {path}")
    for path in done.kept:
        out.print(f"kept {path}: it holds rows that nothing else holds; `featstore repair {store}` brings them back")
    out.print(f"{len(done.files)} files, {decimal(done.bytes)}{' would be freed' if dry_run else ' freed'}")


if __name__ == "__main__":
    options.run(gc)
