"""Reading the newest snapshot of a feature set: the highest manifest that is intact, and the index of its shards."""

from __future__ import annotations

import dataclasses
from collections.abc import MutableMapping
from pathlib import Path

from featstore.errors import StoreDamagedError
from featstore.store.format.manifest import SIZE_LIMIT, Manifest, numbered, numbered_name
from featstore.store.format.rows import Index
from featstore.store.format.shard import ShardEntry, parse_index
from featstore.store.tables.layout import MANIFESTS, SHARDS
from featstore.store.tables.snapshot import Snapshot
from featstore.system import fsread


def load_snapshot(folder: Path, key: str, last: Snapshot | None = None) -> Snapshot:
    """Read the highest manifest that is intact, and the digests and status of its rows.

    Parameters
    ----------
    folder : Path
        `features/<key>`; without manifests the snapshot is empty.
    key : str
    last : Snapshot, optional
        What was read before, so that only what is new is read.

    Raises
    ------
    StoreDamagedError
        Where there are manifests but none is intact, or a shard's index is damaged.
    StoreFormatError
        Where a newer version wrote here.
    """
    known = {} if last is None else dict(zip((e.sha256 for e in last.manifest.shards), last.indexes, strict=True))
    while True:
        numbers = numbered(folder / MANIFESTS, ".json")
        damaged: list[int] = []
        try:
            for number in reversed(numbers.present):
                if last is not None and last.manifest.number == number:
                    if (last.damaged, last.highest) == (tuple(damaged), numbers.highest):
                        return last
                    return dataclasses.replace(last, damaged=tuple(damaged), highest=numbers.highest)
                try:
                    manifest = load_manifest(folder, key, number)
                except StoreDamagedError:
                    damaged.append(number)
                    continue
                indexes = tuple(load_index(folder, entry, known) for entry in manifest.shards)
                return Snapshot(folder, manifest, indexes, tuple(damaged), numbers.highest)
        except FileNotFoundError as error:
            if numbered(folder / MANIFESTS, ".json").highest > numbers.highest:
                continue  # the folder moved on between listing and reading
            raise StoreDamagedError(f"{error.filename} is missing; run `featstore repair`") from error
        if numbers.present:
            raise StoreDamagedError(
                f"all {len(damaged)} manifests in {folder / MANIFESTS} are damaged; run `featstore repair` to rebuild "
                f"them from the shards"
            )
        return Snapshot(folder, Manifest(0, key, 0, 0, 0, ()), (), (), numbers.highest)


def load_manifest(folder: Path, key: str, number: int) -> Manifest:
    """Read one manifest.

    Raises
    ------
    FileNotFoundError
        Where there is none of that number.
    StoreDamagedError, StoreFormatError
        As `Manifest.from_bytes`.
    """
    path = folder / MANIFESTS / numbered_name(number, ".json")
    return Manifest.from_bytes(fsread.read_bytes(path, SIZE_LIMIT), path, number, key)


def load_index(folder: Path, entry: ShardEntry, known: MutableMapping[str, Index]) -> Index:
    """Read which rows a shard has, without its features.

    Parameters
    ----------
    folder : Path
        `features/<key>`.
    known : mutable mapping of shard hash to Index
        Read before; completed here.

    Raises
    ------
    FileNotFoundError
        Where the shard is not there.
    StoreDamagedError
        Where its rows are not those that were committed.
    """
    if entry.sha256 not in known:
        path = folder / SHARDS / entry.file_name
        try:
            known[entry.sha256] = parse_index(fsread.read_spans(path, entry.size, entry.index_spans), entry)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{path} is damaged: {error}; run `featstore repair`") from error
    return known[entry.sha256]
