"""Verification: every byte of a store checked. Damage is reported, never raised."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from featstore.errors import FeatstoreError, StoreDamagedError, StoreFormatError, StoreNotFoundError
from featstore.store.format.container import unpack
from featstore.store.format.manifest import MOST, Manifest, numbered, numbered_name
from featstore.store.format.shard import ShardEntry
from featstore.store.maintenance.orphans import only_there
from featstore.store.maintenance.shard_check import check_shard
from featstore.store.tables import identity
from featstore.store.tables.feature_table import FeatureTable, feature_keys
from featstore.store.tables.image_set_table import SIZE_LIMIT, ImageSetTable
from featstore.store.tables.layout import FINGERPRINT, IMAGES, MANIFESTS, SHARDS, TMP
from featstore.store.tables.versions import load_manifest
from featstore.system import fsread
from featstore.system.machine import usable_cores
from featstore.system.reporting import StageProgress

THREADS = 4


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that is not as it was committed.

    Attributes
    ----------
    path : str
        Inside of the store.
    what : str
        What is wrong, and what to do where `repair` cannot do it.
    mendable : bool
        Whether `repair` can.

    Examples
    --------
    >>> Problem("features/0123456789abcdef/shards/ab.h5", "is missing").mendable
    True
    """

    path: str
    what: str
    mendable: bool = True


@dataclasses.dataclass
class Verification:
    """What a check found.

    Attributes
    ----------
    files, bytes : int
        Checked.
    datasets, feature_sets : int
    rows, failed : int
        Over all feature sets: images with features; images that failed.
    unnamed : int
        Shards that no manifest names: left by killed writers or replaced by compaction.
    unnamed_rows : int
        Rows that nothing but unnamed shards holds; `repair` brings them back. `gc` removes the other unnamed shards.
    leftovers : int
        Files in `tmp`. Harmless; `gc` removes them.
    problems : list of Problem

    Examples
    --------
    >>> Verification(files=3).ok, Verification(problems=[Problem("store.json", "is missing")]).ok
    (True, False)
    """

    files: int = 0
    bytes: int = 0
    datasets: int = 0
    feature_sets: int = 0
    rows: int = 0
    failed: int = 0
    unnamed: int = 0
    unnamed_rows: int = 0
    leftovers: int = 0
    problems: list[Problem] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify(store: Path, full: bool = True, progress: StageProgress | None = None) -> Verification:
    """Check a store.

    Parameters
    ----------
    store : Path
    full : bool
        Read and hash every shard, and parse it with the HDF5 library under guards. Otherwise shards are only checked to
        be there with the right size, and everything else is checked in full.
    progress : callable, optional
        Called with (bytes checked, bytes to check) of shards.

    Raises
    ------
    StoreNotFoundError, StoreFormatError
        Where there is no store that this version can read.
    """
    return _Check(store, full, progress).run()


class _Check:
    def __init__(self, store: Path, full: bool, progress: StageProgress | None) -> None:
        self.store = store
        self.full = full
        self.progress = progress
        self.found = Verification()

    def run(self) -> Verification:
        try:
            identity.identify(self.store)
        except (StoreNotFoundError, StoreFormatError):
            raise
        except FeatstoreError as error:
            self._report(self.store / identity.STORE, error)
        self._count(self.store / identity.STORE)
        misplaced = identity.misplaced(self.store)
        for place, kind in misplaced.items():
            if kind == "link":
                self._report(place, "is a symbolic link; a store holds no links: put the folder itself there", False)
            else:
                self._report(place, "is no folder")
        if misplaced:
            return self.found  # nothing behind it belongs to the store
        self._images()
        shards = [shard for key in feature_keys(self.store) for shard in self._features(key)]
        self._shards(shards)
        self.found.leftovers = len(fsread.list_files(self.store / TMP))
        self.found.problems.sort(key=lambda problem: problem.path)
        return self.found

    def _report(self, path: Path, error: object, mendable: bool = True) -> None:
        what = str(error).removeprefix(f"{path} ").removesuffix("; run `featstore repair`")
        if isinstance(error, FeatstoreError) and not isinstance(error, StoreDamagedError):
            mendable = False  # a newer format, or no permission
        self.found.problems.append(Problem(str(path.relative_to(self.store)), what, mendable))

    def _numbered(self, folder: Path, ending: str) -> tuple[int, ...]:
        """Numbers of a folder's files; what lies under the last possible number is reported."""
        numbers = numbered(folder, ending)
        if numbers.highest >= MOST:
            self._report(folder / numbered_name(MOST, ending), "has the highest possible number; none can follow it")
        return numbers.present

    def _count(self, path: Path) -> None:
        status = fsread.list_files(path.parent).get(path.name)
        if status is not None:
            self.found.files += 1
            self.found.bytes += status.st_size

    def _images(self) -> None:
        image_sets = ImageSetTable(self.store)
        for name in image_sets.names():
            self.found.datasets += 1
            for number in self._numbered(image_sets.folder(name), ".h5"):
                path = image_sets.folder(name) / numbered_name(number, ".h5")
                self._count(path)
                try:
                    image_sets.load(name, number)
                    if self.full:
                        unpack(fsread.read_bytes(path, SIZE_LIMIT))
                except FileNotFoundError:
                    continue  # removed by `gc` meanwhile
                except FeatstoreError as error:
                    self._report(path, error)
        named = {image_sets.folder(name).name for name in image_sets.names()}
        for folder in fsread.list_folders(self.store / IMAGES):
            if folder not in named and fsread.list_files(self.store / IMAGES / folder):
                self._report(self.store / IMAGES / folder, "holds no image set")

    def _features(self, key: str) -> Iterator[tuple[Path, ShardEntry | None, str]]:
        """Check fingerprint and manifests; yield the shards that are to be checked."""
        table = FeatureTable(self.store, key)
        numbers = self._numbered(table.folder / MANIFESTS, ".json")
        files = fsread.list_files(table.folder / SHARDS)
        if not numbers and not files:
            return  # a writer was killed before its first commit
        self.found.feature_sets += 1
        self._count(table.folder / FINGERPRINT)
        try:
            table.fingerprint()
        except FileNotFoundError:
            self._report(table.folder / FINGERPRINT, "is missing")
        except FeatstoreError as error:
            self._report(table.folder / FINGERPRINT, error)
        head = None
        for number in numbers:
            path = table.folder / MANIFESTS / numbered_name(number, ".json")
            self._count(path)
            try:
                head = load_manifest(table.folder, key, number)
            except FileNotFoundError:
                continue  # removed by a writer meanwhile
            except FeatstoreError as error:
                self._report(path, error)
        entries = {} if head is None else {entry.file_name: entry for entry in head.shards}
        if head is not None:
            self._rows(table, head)
        unnamed = files.keys() - entries.keys()
        self.found.unnamed += len(unnamed)
        with contextlib.suppress(FeatstoreError, FileNotFoundError):  # a named shard is damaged, as will be reported
            self.found.unnamed_rows += only_there(table.folder, key, list(entries.values()), unnamed)[1]
        for name in sorted(files.keys() | entries.keys()):
            path = table.folder / SHARDS / name
            if name in files:
                self.found.files += 1
                self.found.bytes += files[name].st_size
                yield path, entries.get(name), key
            else:
                self._report(path, "is missing")

    def _rows(self, table: FeatureTable, head: Manifest) -> None:
        path = table.folder / MANIFESTS / head.file_name
        self.found.rows += head.rows
        self.found.failed += head.failed
        try:
            snapshot = table.snapshot()
        except FeatstoreError:
            return  # the shard itself is reported
        live = snapshot.live()
        good = int((snapshot.status[live] == 0).sum())
        if snapshot.manifest.number == head.number and (good, len(live) - good) != (head.rows, head.failed):
            self._report(
                path, f"counts {head.rows} rows and {head.failed} failures; there are {good} and {len(live) - good}"
            )

    def _shards(self, shards: list[tuple[Path, ShardEntry | None, str]]) -> None:
        sizes = [fsread.list_files(path.parent)[path.name].st_size if entry is None else entry.size
                 for path, entry, _ in shards]  # fmt: skip
        done = 0
        with ThreadPoolExecutor(min(usable_cores(), THREADS)) as pool:
            for (path, _, _), size, error in zip(shards, sizes, pool.map(self._shard, shards), strict=True):
                if error is not None:
                    self._report(path, error)
                done += size
                if self.progress is not None:
                    self.progress(done, sum(sizes))

    def _shard(self, shard: tuple[Path, ShardEntry | None, str]) -> FeatstoreError | None:
        path, entry, key = shard
        try:
            if self.full:
                check_shard(path, entry, key)
            elif entry is not None:
                fsread.check_size(path, entry.size)
        except FileNotFoundError:
            return StoreDamagedError("is missing") if entry is not None else None
        except FeatstoreError as error:
            return error
        return None
