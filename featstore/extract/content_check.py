"""ContentCheck: are the images still the ones that were extracted? Reads every file, whatever its size and time."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from featstore.discovery.scanning import scan
from featstore.extract.current_image_set import usual_name
from featstore.images.listing import UNREADABLE
from featstore.images.reading import Reading
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import StageProgress


@dataclasses.dataclass(frozen=True)
class ContentCheck:
    """How a folder differs from the image set in a store. All are printable paths.

    Attributes
    ----------
    dataset : str
    images : int
        Read again.
    changed : tuple of str
        Other bytes than were recorded.
    silent : tuple of str
        Those of `changed` whose size and modification time are as recorded: no extraction without `--content` notices.
    gone : tuple of str
        Recorded, and not there any more.
    unreadable : tuple of str
        Recorded, and there, perhaps, but not to be read, mostly for lack of permission.
    new : tuple of str
        There, and not recorded.

    Examples
    --------
    >>> check = ContentCheck("pets", 2, changed=("cats/1.jpg",), silent=(), gone=(), unreadable=(), new=())
    >>> check.ok
    False
    """

    dataset: str
    images: int
    changed: tuple[str, ...]
    silent: tuple[str, ...]
    gone: tuple[str, ...]
    unreadable: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every recorded image is there with the bytes that it had."""
        return not (self.changed or self.gone or self.unreadable)


def check_content(
    store: FeatureStore,
    data: str | bytes | os.PathLike[str],
    *,
    dataset: str | None = None,
    progress: StageProgress | None = None,
    reading: Reading | None = None,
) -> ContentCheck:
    """Read the images again and compare them with the newest image set.

    Parameters
    ----------
    store : FeatureStore
    data : path
        As for `extract`; it may have been moved or renamed.
    dataset : str, optional
        Default: the one named like `data`, else the only one.
    progress : callable, optional
        Called with (images read, images).
    reading : Reading, optional
        How the data are to be read; default: as when they were extracted.

    Raises
    ------
    ImagesNotFoundError, ImageSetError
        Where `data` holds no images.
    AmbiguousFeaturesError, UnknownNameError, StoreNotFoundError
        Where the store does not have the data set.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from featstore.images.samples import write_textures
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = write_textures(Path(folder, "textures"), per_class=1)
    ...     store = FeatureStore(Path(folder, "store"), create=True)
    ...     _ = store.put_imageset(scan(images))
    ...     sorted(images.rglob("*.jpg"))[0].write_bytes(b"other bytes")
    ...     check_content(store, images).changed
    11
    ('bricks/bricks_000.jpg',)
    """
    if dataset is None:
        named = usual_name(data, store)
        dataset = named if named in store.datasets() else None
    recorded = store.imageset(dataset)
    how = reading or Reading.from_json(recorded.about.get("reading", {}))
    now = scan(data, name=recorded.name, content=True, progress=progress, reading=how)
    row_of = {path: row for row, path in enumerate(now.paths)}
    shut = tuple(entry.path + b"/" for entry in now.skipped if entry.reason.startswith(UNREADABLE))
    changed, silent, gone, unreadable = [], [], [], []
    for row, path in enumerate(recorded.paths):
        if recorded.problems[row]:
            continue  # had no bytes then
        there = row_of.get(path)
        if path.startswith(shut) or (there is not None and now.problems[there]):
            unreadable.append(recorded.display(row))
        elif there is None:
            gone.append(recorded.display(row))
        elif not np.array_equal(recorded.digests[row], now.digests[there]):
            changed.append(recorded.display(row))
            if (recorded.sizes[row], recorded.mtimes[row]) == (now.sizes[there], now.mtimes[there]):
                silent.append(recorded.display(row))
    known = set(recorded.paths)
    new = [now.display(row) for row, path in enumerate(now.paths) if path not in known]
    lists = (tuple(paths) for paths in (changed, silent, gone, unreadable, new))
    return ContentCheck(recorded.name, len(now), *lists)
