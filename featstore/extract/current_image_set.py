"""The image set of a run: the images as they are now, with parts that are held out, kept or brought by the data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

import numpy as np

from featstore.discovery.data_name import data_name
from featstore.discovery.doubts import require_no_doubt
from featstore.discovery.pictures import Pictures
from featstore.discovery.scanning import scan
from featstore.errors import ImageSetError
from featstore.images.image_set import ImageSet, hold_out
from featstore.images.listing import UNREADABLE
from featstore.images.reading import Reading
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import Progress, argument, printable_path

REPLACED = "replaced-data-set"
"""The name by which `allow` lets other images take the place of a data set."""


def current_image_set(
    data: str | bytes | os.PathLike[str] | Pictures,
    store: FeatureStore | None,
    *,
    dataset: str | None,
    split: Mapping[str, float] | None,
    split_seed: int,
    content: bool,
    report: Progress,
    reading: Reading | None = None,
) -> tuple[ImageSet, list[str]]:
    """List the images and give them their parts; the store is only read.

    Parameters
    ----------
    data, dataset, split, split_seed, content, reading
        As `featstore.extract.extract` takes them.
    store : FeatureStore or None
        Its image set of the same name saves reading files again, and keeps the parts that were held out.
    report : callable
        Progress of the stage "scan".

    Returns
    -------
    images : ImageSet
    notes : list of str
        What was left out or kept, for people.

    Raises
    ------
    ImagesNotFoundError, ImageSetError
        There are no images, `split` cannot be drawn from them, they could only lead to nonsense, or they would take
        the place of other images of the same name.
    """
    if split is not None and not (isinstance(split, Mapping) and all(isinstance(f, Real) for f in split.values())):
        raise ImageSetError(
            f'`split` is {split!r}; expected a mapping of parts to fractions, such as `split={{"test": 0.2}}`'
        )
    how = reading or Reading()
    name = dataset if dataset is not None else usual_name(data, store)
    previous = store.imageset(name) if store is not None and name in store.datasets() else None
    images = scan(
        data,
        name=name,
        previous=previous,
        content=content,
        progress=lambda d, t: report("scan", d, t, ""),
        reading=how,
        downloading=lambda d, t: report("download", d, t, ""),
    )
    require_no_doubt(images, how.allow)
    notes = _unreadable(images)
    if previous is not None:
        notes += _against(previous, images, how)
        if REPLACED in how.allow and previous.root != images.root:
            previous = None  # other images: parts that were held out of those are nothing to these
    if split and (images.splits != "").any():
        notes.append("the data brings its own train/val/test parts; `split` changed nothing")
    elif split:
        for part, fraction in split.items():
            images = hold_out(images, part, fraction, split_seed)
    elif split is None and previous is not None and (images.splits == "").all() and (previous.splits != "").any():
        images = _keep_splits(images, previous)
        notes.append("kept the parts held out by an earlier `split`; new images go to train")
    return images, notes


def usual_name(data: str | bytes | os.PathLike[str] | Pictures, store: FeatureStore | None) -> str:
    """What a data set is called where the user does not say.

    Earlier versions cut a folder's name at its last dot; where the store has this folder under such a name, that stays.
    """
    name = data_name(data)
    if store is None or isinstance(data, Pictures) or name in store.datasets():
        return name
    place = os.path.realpath(os.fsencode(data))
    earlier = Path(os.fsdecode(place)).stem
    known = store.datasets()
    return earlier if earlier in known and store.imageset(earlier).root == place else name


def _against(previous: ImageSet, images: ImageSet, reading: Reading) -> list[str]:
    """What to say of the data set of that name that the store has; refused where it is another one."""
    notes = []
    was, place = (_place(found) for found in (previous, images))
    if was != place:
        before = {digest.tobytes() for digest in previous.digests[previous.readable()]}
        now = {digest.tobytes() for digest in images.digests[images.readable()]}
        stays = os.path.exists(previous.root)  # noqa: PTH110 - bytes
        if before == now or (not stays and 2 * len(before & now) >= min(len(before), len(now))):
            same = f"{len(before & now):,} of {len(before):,} images as before"
            notes.append(f"{images.name!r} was read from {was} and is read from {place} now, {same}")
        elif REPLACED not in reading.allow:
            raise ImageSetError(
                f"the store has a data set {images.name!r} of {len(previous):,} images from {was}; those in {place} "
                f"are others; name these with {argument('dataset', 'NAME')}, or replace that data set with "
                f"{argument('allow', REPLACED)}"
            )
        else:
            notes.append(f"{images.name!r} was {len(previous):,} images from {was}; they are replaced")
    if previous.classes != images.classes:
        gone, new = (
            len(set(a) - set(b)) for a, b in ((previous.classes, images.classes), (images.classes, previous.classes))
        )
        notes.append(f"classes changed since the last run: {new} new, {gone} gone, {len(images.classes)} now")
    return notes


def _place(images: ImageSet) -> str:
    """Where a data set's images are, for people; pictures in memory have no place that stays."""
    return "memory" if images.about.get("layout") == "memory" else printable_path(images.root)


def _unreadable(images: ImageSet) -> list[str]:
    """What to say of the folders that cannot be read; the image set tells what else was left out."""
    return [
        f"{printable_path(entry.path)}: {entry.reason}; its images are left out"
        for entry in images.skipped
        if entry.reason.startswith(UNREADABLE)
    ]


def _keep_splits(images: ImageSet, previous: ImageSet) -> ImageSet:
    """Give every image the part that its bytes had before; new images are for training."""
    known = dict(zip((d.tobytes() for d in previous.digests), previous.splits.tolist(), strict=True))
    splits = np.array([known.get(d.tobytes(), "train") for d in images.digests], dtype=images.splits.dtype)
    return dataclasses.replace(images, splits=splits)
