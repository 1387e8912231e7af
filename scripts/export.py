"""`featstore export`: features in other formats."""

from __future__ import annotations

from typing import Any

import click

from featstore_scripts import options


@click.command()
@click.argument("store", metavar="STORE|BUNDLE", type=click.Path())
@click.option("--out", "-o", required=True, type=click.Path(), metavar="PATH", help="A file; a folder for npy.")
@click.option(
    "--format", "form", type=click.Choice(["npz", "npy", "h5", "csv", "onnx"]), help="Default: by the ending of --out."
)
@options.features
@options.overwrite
@options.json_option
def export(
    store: str, out: str, form: str | None, overwrite: bool, as_json: bool, nodes: tuple[str, ...], **chosen: Any
) -> None:
    """Write one feature set of STORE for other tools: NumPy (npz, or npy with file_names.txt), plain HDF5, CSV.

    Or write a BUNDLE, network and head in one graph, as ONNX (-o model.onnx); --weights then says where the network's
    weights are now.
    """
    from pathlib import Path

    from featstore import FeatureStore
    from featstore.store.export import export as write

    ending = Path(out).suffix.lower().removeprefix(".")
    if form is None and ending not in ("npz", "h5", "csv", "onnx", ""):
        raise click.UsageError(
            f"no format is known by the ending {ending!r}; name one with --format npz, npy, h5, csv or onnx"
        )
    form = form or ending or "npy"
    if form == "onnx":
        _onnx(store, out, chosen["weights"], overwrite, as_json)
        return
    options.not_a_bundle(store)
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


def _onnx(bundle: str, out: str, weights: str | None, overwrite: bool, as_json: bool) -> None:
    """Write a bundle as an ONNX graph."""
    from classifiers.models.onnx_file import export_onnx

    made = export_onnx(bundle, out, weights=weights, overwrite=overwrite)
    if as_json:
        options.emit({
            "format": 1, "files": [str(made.path)], "input_size": made.input_size, "classes": list(made.classes),
            "largest_difference": made.largest_difference,
        })  # fmt: skip
        return
    options.console().print(
        f"{made.path}: pixels (b, 3, {made.input_size}, {made.input_size}) in [0, 1] -> probabilities of "
        f"{len(made.classes)} classes; the ONNX runtime differs from torch by at most {made.largest_difference:.1g}"
    )


if __name__ == "__main__":
    options.run(export)
