"""`featstore repair`: rebuild what is damaged from what is not."""

from __future__ import annotations

from pathlib import Path

import click

from featstore_scripts import options


@click.command()
@options.store
@options.json_option
def repair(store: str, as_json: bool) -> None:
    """Move damaged files of STORE to its quarantine and rebuild what can be rebuilt.

    Manifests, fingerprints and store.json are rebuilt from the shards. What is lost is said; the next extraction
    computes it again. Nothing is deleted.
    """
    from featstore.store.maintenance.repair import repair as run

    done = run(Path(store))
    if as_json:
        options.emit({"format": 1, **vars(done), "moved": [vars(problem) for problem in done.moved]})
        return
    out = options.console()
    for problem in done.moved:
        out.print(f"to quarantine: {problem.path}: {problem.what}")
    for path in done.rebuilt:
        out.print(f"rebuilt: {path}")
    for sentence in done.advice:
        out.print(sentence)
    if not done.moved and not done.rebuilt:
        out.print(f"{store} is whole; nothing was changed")


if __name__ == "__main__":
    options.run(repair)
