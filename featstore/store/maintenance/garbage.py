"""Garbage: files that no kept snapshot needs. Only what is older than a grace period is removed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from featstore.store.format.manifest import Manifest, numbered
from featstore.store.format.shard import ShardEntry
from featstore.store.maintenance.orphans import only_there
from featstore.store.tables import identity
from featstore.store.tables.feature_table import FeatureTable, feature_keys
from featstore.store.tables.image_set_table import ImageSetTable
from featstore.store.tables.layout import MANIFESTS, SHARDS, TMP
from featstore.store.tables.versions import load_manifest
from featstore.system import fsio, fsread

KEPT = 2
"""The newest so many manifests and image sets are kept, with all that they name."""

TAKEN = ".taken"
"""Ending of a shard that was taken out of its place and is not removed yet."""


@dataclasses.dataclass
class Garbage:
    """What was, or with `dry_run` would be, removed.

    Attributes
    ----------
    files : list of str
        Paths inside of the store.
    bytes : int
        Size of all of them.
    kept : list of str
        Shards that no manifest names and that stay, for they hold rows that nothing else holds; `repair` names them.

    Examples
    --------
    >>> found = Garbage(files=["tmp/0123.part"], bytes=812)
    >>> len(found.files), found.bytes, found.kept
    (1, 812, [])
    """

    files: list[str] = dataclasses.field(default_factory=list)
    bytes: int = 0
    kept: list[str] = dataclasses.field(default_factory=list)


def collect(store: Path, dry_run: bool = False, grace_seconds: float = 3600.0) -> Garbage:
    """Remove what no kept snapshot needs.

    Kept are the last two manifests of every feature set with all shards that they name, other shards whose rows nothing
    else holds, the last two image sets of every data set, the quarantine, and what is younger than the grace period: a
    writer may be about to name it.

    Parameters
    ----------
    store : Path
    dry_run : bool
        Only say what would be removed.
    grace_seconds : float
        Use less than an hour only where nobody else writes to the store.

    Raises
    ------
    StoreDamagedError
        Where a kept manifest is damaged: what it named cannot be told from garbage. Repair the store first.
    StoreWriteError
        Where the disk refuses.
    """
    identity.identify_own(store)
    work = _Collection(store, dry_run, time.time() - grace_seconds, Garbage())
    for key in feature_keys(store):
        table = FeatureTable(store, key)
        if not dry_run:
            put_back(table, [entry for manifest in _kept(table) for entry in manifest.shards])
        work.features(table)
    work.images()
    work.leftovers()
    return work.done


def put_back(table: FeatureTable, named: Sequence[ShardEntry]) -> list[str]:
    """Put shards back that a killed `gc` had taken out of their place, where they are named after all.

    Returns
    -------
    list of str
        Their paths inside of the store.
    """
    back = []
    for entry in named:
        taken = table.store / TMP / _taken_name(table, entry.file_name)
        place = table.folder / SHARDS / entry.file_name
        if fsread.kind(taken) and not fsread.kind(place):
            fsio.move(taken, place)
            back.append(str(place.relative_to(table.store)))
    return back


def _kept(table: FeatureTable) -> list[Manifest]:
    """The newest manifests, which must be intact."""
    while True:
        numbers = numbered(table.folder / MANIFESTS, ".json").present[-KEPT:]
        try:
            return [load_manifest(table.folder, table.key, number) for number in numbers]
        except FileNotFoundError:
            continue  # a writer has moved on


def _taken_name(table: FeatureTable, file_name: str) -> str:
    return f"{table.key}--{file_name}{TAKEN}"


@dataclasses.dataclass
class _Collection:
    store: Path
    dry_run: bool
    before: float
    done: Garbage

    def features(self, table: FeatureTable) -> None:
        kept = _kept(table)
        if not kept:
            return  # a writer is about to make its first commit, or `repair` is needed
        self._numbered(table.folder / MANIFESTS, kept[0].number)
        named = {entry.file_name for manifest in kept for entry in manifest.shards}
        old = [(path, size) for path, size in self._old(table.folder / SHARDS) if path.name not in named]
        try:
            alone, _ = only_there(table.folder, table.key, kept[-1].shards, [path.name for path, _ in old])
        except FileNotFoundError:
            return  # a writer has moved on; the next `gc` will see what is left
        for path, size in old:
            if path.name in alone:
                self.done.kept.append(str(path.relative_to(self.store)))
            else:
                self._take(table, path, size)

    def images(self) -> None:
        image_sets = ImageSetTable(self.store)
        for name in image_sets.names():
            folder = image_sets.folder(name)
            kept = numbered(folder, ".h5").present[-KEPT:]
            for number in kept:
                image_sets.load(name, number)  # raises where it is damaged: the ones before it may be needed
            self._numbered(folder, kept[0])

    def leftovers(self) -> None:
        for path, size in self._old(self.store / TMP):
            self._remove(path, size)

    def _numbered(self, folder: Path, first_kept: int) -> None:
        """Remove numbered files, and claims on numbers, below the first one kept."""
        for path, size in self._old(folder):
            number = path.name.split(".")[0]
            if number.isdecimal() and int(number) < first_kept:
                self._remove(path, size)

    def _take(self, table: FeatureTable, path: Path, size: int) -> None:
        """Remove a shard, unless a writer names it in this very moment.

        It is moved away first. A writer that commits before the manifests are looked at again is seen here, one that
        commits later sees that the shard is gone and publishes it anew.
        """
        if self.dry_run:
            self._note(path, size)
            return
        taken = self.store / TMP / _taken_name(table, path.name)
        fsio.make_directory(self.store / TMP, below=self.store)
        if not fsio.move(path, taken):
            return
        named = [entry for manifest in _kept(table) for entry in manifest.shards if entry.file_name == path.name]
        if named:
            put_back(table, named)
        elif fsio.remove(taken):
            self._note(path, size)

    def _remove(self, path: Path, size: int) -> None:
        if self.dry_run or fsio.remove(path):
            self._note(path, size)

    def _note(self, path: Path, size: int) -> None:
        self.done.files.append(str(path.relative_to(self.store)))
        self.done.bytes += size

    def _old(self, folder: Path) -> Iterator[tuple[Path, int]]:
        for name, status in fsread.list_files(folder).items():
            if status.st_mtime <= self.before:
                yield folder / name, status.st_size
