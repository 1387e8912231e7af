"""`featstore info`: what a store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options

if TYPE_CHECKING:
    from featstore.store.feature_store import FeatureStore


LISTED = 20  # skipped files of a data set that are named; the JSON has all


@click.command()
@options.store
@options.json_option
def info(store: str, as_json: bool) -> None:
    """Show the image sets and feature sets of STORE, how rows were computed, and failed images with reasons."""
    from featstore.store.feature_store import FeatureStore

    opened = FeatureStore(store)
    document = describe(opened)
    if as_json:
        options.emit(document)
    else:
        _print(options.worded(document))


def describe(store: FeatureStore) -> dict[str, Any]:
    """The document that `info --json` prints."""
    from featstore.discovery.summary import found_json
    from featstore.system.reporting import printable_path

    features = store.features()
    failures = [(f.key, store.failures(f.fingerprint)) for f in features]
    datasets = []
    for name in store.datasets():
        images = store.imageset(name)
        counts = images.counts()
        failed = []
        bad = set().union(*(found for _, found in failures))
        for row, digest in enumerate(images.digests) if bad or any(images.problems) else ():
            keys = [key for key, found in failures if digest.tobytes() in found]
            reason = images.problems[row] or next(
                (found[digest.tobytes()] for key, found in failures if key in keys), ""
            )
            if reason:
                failed.append({"path": images.display(row), "reason": reason, "features": keys})
        datasets.append(
            {
                "name": name,
                "images": len(images),
                "classes": list(images.classes),
                "splits": {split: sum(count.values()) for split, count in counts.items()},
                "skipped": len(images.skipped),
                "skipped_files": [{"path": printable_path(s.path), "reason": s.reason} for s in images.skipped],
                "failed": failed,
                "root": "memory" if images.about.get("layout") == "memory" else printable_path(images.root),
                "found": found_json(images),
            }
        )
    return {
        "format": 1,
        "store": str(store.path),
        "uuid": store.uuid,
        "datasets": datasets,
        "features": [
            {
                "key": f.key,
                "backbone": f.fingerprint.backbone,
                "node": f.fingerprint.node,
                "pool": f.fingerprint.pool,
                "weights": f.fingerprint.weights,
                "weights_sha256": f.fingerprint.weights_sha256,
                "precision": f.fingerprint.precision,
                "store_dtype": f.fingerprint.store_dtype,
                "input": f.fingerprint.input,
                "dim": f.dim,
                "rows": f.rows,
                "failed": f.failed,
                "bytes": f.bytes,
                "damaged_manifests": list(f.damaged),
                "provenance": list(f.provenance),
            }
            for f in features
        ],
    }


def _print(document: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.filesize import decimal
    from rich.table import Table

    console = options.console()
    if not console.is_terminal:
        console.width = 400  # nothing is cut off in a file or pipe
    datasets = Table("data set", "images", "classes", "parts", "failed", "skipped", box=SIMPLE_HEAD)
    for d in document["datasets"]:
        parts = ", ".join(f"{split or 'no part'} {count}" for split, count in d["splits"].items())
        cells = (d["name"], d["images"], len(d["classes"]), parts, len(d["failed"]), d["skipped"])
        datasets.add_row(*map(str, cells))
    features = Table("key", "network", "weights", "dim", "rows", "failed", "size", box=SIMPLE_HEAD)
    for f in document["features"]:
        network = f"{f['backbone']} {f['node']} {f['pool']} {options.numbers(f)} {f['input']}"
        cells = (f["key"], network, f["weights"], f["dim"], f["rows"], f["failed"], decimal(f["bytes"]))
        features.add_row(*map(str, cells))
    for table, rows, what in (
        (datasets, document["datasets"], "data set"),
        (features, document["features"], "features"),
    ):
        for column in table.columns:
            column.overflow = "fold"
            column.no_wrap = column.header == "key"
        console.print(table if rows else f"no {what} yet")
    for f in document["features"]:
        if f["damaged_manifests"]:
            numbers = ", ".join(map(str, f["damaged_manifests"]))
            console.print(
                f"{f['key']}: manifest {numbers} is damaged, so this is the state before; run `featstore repair "
                f"{document['store']}`"
            )
        for way in f["provenance"]:
            said = ", ".join(f"{name} {value}" for name, value in _flat(way))
            console.print(f"{f['key']} computed with {said}")
    for d in document["datasets"]:
        console.print(f"\nFound in {d['root']}:")
        options.print_found(console, d["name"], d["images"], d["found"])
        if d["failed"]:
            console.print(f"\nFailed images of {d['name']}:")
        for failure in d["failed"]:
            console.print(f"  {failure['path']}: {failure['reason']}")
        if d["skipped"]:
            console.print(f"\nLeft out of {d['name']}:")
        for skipped in d["skipped_files"][:LISTED]:
            console.print(f"  {skipped['path']}: {skipped['reason']}")
        if d["skipped"] > LISTED:
            console.print(f"  and {d['skipped'] - LISTED} more: featstore info --json")


def _flat(way: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in way.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found


if __name__ == "__main__":
    options.run(info)
