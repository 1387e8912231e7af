"""`featstore export`: features in other formats."""

from __future__ import annotations

from typing import Any

import click

from featstore_scripts import options


@click.command()
@click.argument("store", type=click.Path())
@click.option("--out", "-o", required=True, type=click.Path(), metavar="PATH", help="A file; a folder for npy.")
@click.option(
    "--format", "form", type=click.Choice(["npz", "npy", "h5", "csv"]), help="Default: by the ending of --out."
)
@options.features
@options.overwrite
@options.json_option
def export(
    store: str, out: str, form: str | None, overwrite: bool, as_json: bool, nodes: tuple[str, ...], **chosen: Any
) -> None:
    """Write one feature set of STORE for other tools: NumPy (npz, or npy with file_names.txt), plain HDF5, CSV."""
    from pathlib import Path

    from featstore import FeatureStore
    from featstore.export import export as write

    ending = Path(out).suffix.lower().removeprefix(".")
    if form is None and ending not in ("npz", "h5", "csv", ""):
        raise click.UsageError(
            f"no format is known by the ending {ending!r}; name one with --format npz, npy, h5 or csv"
        )
    form = form or ending or "npy"
    if len(nodes) > 1:
        raise click.UsageError("name one --node; each export holds one feature set")
    wanted = options.selectors(node=nodes[0] if nodes else None, **chosen)
    features = FeatureStore(store).read(**wanted)
    files = write(features, Path(out), form=form, overwrite=overwrite)
    if as_json:
        n, d = features.X.shape
        options.emit({"format": 1, "rows": n, "dim": d, "files": [str(path) for path in files]})
        return
    for path in files:
        options.console().print(str(path))


if __name__ == "__main__":
    options.run(export)
