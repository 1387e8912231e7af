"""`featstore compact`: merge small shards into large ones."""

from __future__ import annotations

import click

from featstore_scripts import options


@click.command()
@options.store
@options.json_option
def compact(store: str, as_json: bool) -> None:
    """Merge the small shards of STORE into large ones. Readers and writers may go on meanwhile.

    The old shards stay until `featstore gc` removes them.
    """
    from classifiers.formatting import count
    from featstore.store.feature_store import FeatureStore

    done = FeatureStore(store).compact()
    if as_json:
        options.emit({"format": 1, **vars(done)})
        return
    out = options.console()
    for key, before in done.before.items():
        after = done.after[key]
        out.print(f"{key}: {count(before, 'shard')}, {'as before' if before == after else f'now {after}'}")
    if not done.before:
        out.print(f"{store} holds no features yet")


if __name__ == "__main__":
    options.run(compact)
