"""Repair: damaged files go to quarantine; manifests and fingerprints are rebuilt from the shards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from featstore.errors import FeatstoreError, StoreDamagedError
from featstore.store.format.manifest import MOST, Manifest, following, numbered, numbered_name
from featstore.store.format.shard import ShardEntry, decode
from featstore.store.maintenance.garbage import put_back
from featstore.store.maintenance.orphans import state_of, worth_naming
from featstore.store.maintenance.shard_check import SHARD_LIMIT, check_shard
from featstore.store.maintenance.verification import Problem
from featstore.store.tables import identity
from featstore.store.tables.feature_table import FeatureTable, feature_keys
from featstore.store.tables.image_set_table import ImageSetTable
from featstore.store.tables.layout import FINGERPRINT, MANIFESTS, QUARANTINE, SHARDS, quarantine
from featstore.store.tables.versions import load_manifest
from featstore.system import fsio, fsread


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

    Examples
    --------
    >>> Repair(lost_rows={"0123456789abcdef": 3}).moved
    []
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
    work.folders()
    work.identity()
    work.images()
    for key in feature_keys(store):
        work.features(FeatureTable(store, key))
    return work.done


@dataclasses.dataclass
class _Repairs:
    store: Path
    done: Repair

    def folders(self) -> None:
        for place in identity.misplaced(self.store):
            stray = place
            if place.name == QUARANTINE:  # it goes into the folder that takes its place
                stray = place.with_name(f"{QUARANTINE}.stray")
                fsio.move(place, stray)
            self._move(stray, "is no folder")
            fsio.make_directory(place, below=self.store)

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
        image_sets = ImageSetTable(self.store)
        for name in image_sets.names():
            self._free_numbers(image_sets.folder(name), ".h5")
            numbers = numbered(image_sets.folder(name), ".h5").present
            intact = []
            for number in numbers:
                try:
                    image_sets.load(name, number)
                    intact.append(number)
                except StoreDamagedError as error:
                    self._move(image_sets.folder(name) / numbered_name(number, ".h5"), error)
            if not intact or intact[-1] != numbers[-1]:
                state = f"is back at its image set {intact[-1]}" if intact else "has no image set any more"
                self.done.advice.append(
                    f"data set {name!r} {state}; run `featstore extract` on its images (no features are lost by this)"
                )

    def features(self, table: FeatureTable) -> None:
        self._free_numbers(table.folder / MANIFESTS, ".json")
        while True:
            numbers = numbered(table.folder / MANIFESTS, ".json")
            head, damaged = self._manifests(table, numbers.present)
            good, bad = self._shards(table, head)
            self._fingerprint(table, good)
            named = () if head is None else head.shards
            found = worth_naming(table.folder, table.key, named, good).manifest
            before = state_of(table.folder, table.key, [], {}).manifest if head is None else head
            counts = (found.rows, found.failed)
            if damaged or (found.shards, *counts) != (before.shards, before.rows, before.failed):
                number = following(numbers.highest, table.folder / MANIFESTS)
                new = dataclasses.replace(found, number=number, parent=before.number)
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

    def _free_numbers(self, folder: Path, ending: str) -> None:
        """Move away what bears the highest possible number: nothing could be written after it."""
        if numbered(folder, ending).highest >= MOST:
            for name in fsread.list_names(folder):
                if name.startswith(numbered_name(MOST, ending)):
                    self._move(folder / name, "has the highest possible number; none can follow it")

    def _move(self, path: Path, error: object) -> None:
        if quarantine(self.store, path) is None:
            return
        what = str(error).removeprefix(f"{path} ").removesuffix("; run `featstore repair`")
        self.done.moved.append(Problem(str(path.relative_to(self.store)), what))
