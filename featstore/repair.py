"""Repair: damaged files go to quarantine; manifests and fingerprints are rebuilt from the shards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from featstore import fsio, fsread, identity
from featstore.errors import FeatstoreError, StoreDamagedError
from featstore.garbage import put_back
from featstore.imageshelf import ImageShelf
from featstore.latest import load_index, load_manifest
from featstore.manifest import Manifest, numbered, numbered_name
from featstore.quarantine import quarantine
from featstore.rows import OK, Index
from featstore.shard import ShardEntry, decode
from featstore.snapshot import MANIFESTS, SHARDS, Snapshot
from featstore.table import FINGERPRINT, FeatureTable, feature_keys
from featstore.verification import SHARD_LIMIT, Problem, check_shard


@dataclasses.dataclass
class Repair:
    """What a repair did.

    Attributes
    ----------
    moved : list of Problem
        Files that went to quarantine, and why.
    rebuilt : list of str
        Files that were made anew from others, or put back.
    lost_rows : dict of key to int
        Rows of feature sets that must be computed again.
    advice : list of str
        What to do now; empty where nothing is left to do.
    """

    moved: list[Problem] = dataclasses.field(default_factory=list)
    rebuilt: list[str] = dataclasses.field(default_factory=list)
    lost_rows: dict[str, int] = dataclasses.field(default_factory=dict)
    advice: list[str] = dataclasses.field(default_factory=list)


def repair(store: Path) -> Repair:
    """Make a damaged store whole again, as far as that goes. Nothing is deleted; what is intact stays as it is.

    Parameters
    ----------
    store : Path
        Also a folder whose `store.json` is lost or damaged.

    Raises
    ------
    StoreNotFoundError, StoreFormatError
        Where there is no store that this version can read.
    StoreError
        Where a folder in it is a symbolic link.
    StoreWriteError
        Where the disk refuses.
    """
    identity.refuse_links(store)
    work = _Repairs(store, Repair())
    work.identity()
    work.images()
    for key in feature_keys(store):
        work.features(FeatureTable(store, key))
    return work.done


@dataclasses.dataclass
class _Repairs:
    store: Path
    done: Repair

    def identity(self) -> None:
        try:
            identity.identify(self.store)
        except StoreDamagedError as error:
            for name in identity.FOLDERS:
                fsio.make_directory(self.store / name, below=self.store)
            path = self.store / identity.STORE
            if path.exists():
                self._move(path, error)
            identity.put_identity(self.store)
            self.done.rebuilt.append(identity.STORE)

    def images(self) -> None:
        shelf = ImageShelf(self.store)
        for name in shelf.names():
            numbers = numbered(shelf.folder(name), ".h5").present
            intact = []
            for number in numbers:
                try:
                    shelf.load(name, number)
                    intact.append(number)
                except StoreDamagedError as error:
                    self._move(shelf.folder(name) / numbered_name(number, ".h5"), error)
            if not intact or intact[-1] != numbers[-1]:
                state = f"is back at its image set {intact[-1]}" if intact else "has no image set any more"
                self.done.advice.append(
                    f"data set {name!r} {state}; run `featstore extract` on its images (no features are lost by this)"
                )

    def features(self, table: FeatureTable) -> None:
        while True:
            numbers = numbered(table.folder / MANIFESTS, ".json")
            head, damaged = self._manifests(table, numbers.present)
            good, bad = self._shards(table, head)
            self._fingerprint(table, good)
            named = () if head is None else head.shards
            found = self._worth_naming(table, named, good).manifest
            before = _state(table, [], {}).manifest if head is None else head
            counts = (found.rows, found.failed)
            if damaged or (found.shards, *counts) != (before.shards, before.rows, before.failed):
                new = dataclasses.replace(found, number=numbers.highest + 1, parent=before.number)
                table.make_folders()
                if not table.put_manifest(new):
                    continue  # a writer was faster: look at what is there now
                self.done.rebuilt.append(str((table.folder / MANIFESTS / new.file_name).relative_to(self.store)))
            break
        for path, error in [*damaged, *bad]:
            self._move(path, error)
        lost = before.rows + before.failed - sum(counts)
        if lost > 0:
            self.done.lost_rows[table.key] = lost
            self.done.advice.append(
                f"{lost} rows of feature set {table.key} are lost; run `featstore extract` on the images again"
            )

    def _manifests(
        self, table: FeatureTable, numbers: tuple[int, ...]
    ) -> tuple[Manifest | None, list[tuple[Path, FeatstoreError]]]:
        head = None
        damaged: list[tuple[Path, FeatstoreError]] = []
        for number in numbers:
            try:
                head = load_manifest(table.folder, table.key, number)
            except FileNotFoundError:
                continue
            except StoreDamagedError as error:
                damaged.append((table.folder / MANIFESTS / numbered_name(number, ".json"), error))
        return head, damaged

    def _shards(
        self, table: FeatureTable, head: Manifest | None
    ) -> tuple[dict[str, ShardEntry], list[tuple[Path, FeatstoreError]]]:
        """The shards on disk that are intact, by hash, and those that are not."""
        self.done.rebuilt += put_back(table, () if head is None else head.shards)
        good: dict[str, ShardEntry] = {}
        bad: list[tuple[Path, FeatstoreError]] = []
        for name in fsread.list_files(table.folder / SHARDS):
            path = table.folder / SHARDS / name
            try:
                entry = check_shard(path, None, table.key)
                good[entry.sha256] = entry
            except FileNotFoundError:
                continue
            except StoreDamagedError as error:
                bad.append((path, error))
        return good, bad

    def _fingerprint(self, table: FeatureTable, good: dict[str, ShardEntry]) -> None:
        path = table.folder / FINGERPRINT
        try:
            table.fingerprint()
            return
        except FileNotFoundError:
            pass
        except StoreDamagedError as error:
            self._move(path, error)
        for entry in good.values():
            data = fsread.read_bytes(table.folder / SHARDS / entry.file_name, SHARD_LIMIT)
            table.make_folders()
            table.put_fingerprint(decode(data)[1], entry.dim)
            self.done.rebuilt.append(str(path.relative_to(self.store)))
            return

    def _worth_naming(
        self, table: FeatureTable, named: tuple[ShardEntry, ...], good: dict[str, ShardEntry]
    ) -> Snapshot:
        """Named shards that are intact, then others that have rows which these lack, as the state that they make."""
        known: dict[str, Index] = {}
        state = _state(table, [good[entry.sha256] for entry in named if entry.sha256 in good], known)
        for sha256 in sorted(good.keys() - {entry.sha256 for entry in named}):
            index = load_index(table.folder, good[sha256], known)
            at = state.find(index.digests)
            if (at < 0).any() or (index.status < state.status[at]).any():
                state = _state(table, [*state.manifest.shards, good[sha256]], known)
        return state

    def _move(self, path: Path, error: object) -> None:
        if quarantine(self.store, path) is None:
            return
        what = str(error).removeprefix(f"{path} ").removesuffix("; run `featstore repair`")
        self.done.moved.append(Problem(str(path.relative_to(self.store)), what))


def _state(table: FeatureTable, shards: list[ShardEntry], known: dict[str, Index]) -> Snapshot:
    """What the rows of some shards are together."""
    indexes = tuple(load_index(table.folder, entry, known) for entry in shards)
    state = Snapshot(table.folder, Manifest(0, table.key, 0, 0, 0, tuple(shards)), indexes, (), 0)
    live = state.live()
    good = int((state.status[live] == OK).sum())
    return dataclasses.replace(state, manifest=dataclasses.replace(state.manifest, rows=good, failed=len(live) - good))
