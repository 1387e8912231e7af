"""The image set of a run: the images as they are now, with parts that are held out, kept or brought by the data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

import numpy as np

from featstore.errors import ImageSetError
from featstore.images.discovery import scan
from featstore.images.image_set import ImageSet, hold_out
from featstore.images.listing import UNREADABLE
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import Progress, printable_path


def current_image_set(
    data: str | bytes | os.PathLike[str],
    store: FeatureStore | None,
    *,
    dataset: str | None,
    split: Mapping[str, float] | None,
    split_seed: int,
    content: bool,
    report: Progress,
) -> tuple[ImageSet, list[str]]:
    """List the images and give them their parts; the store is only read.

    Parameters
    ----------
    data, dataset, split, split_seed, content
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
        There are no images, or `split` cannot be drawn from them.
    """
    if split is not None and not (isinstance(split, Mapping) and all(isinstance(f, Real) for f in split.values())):
        raise ImageSetError(
            f'`split` is {split!r}; expected a mapping of parts to fractions, such as `split={{"test": 0.2}}`'
        )
    name = dataset if dataset is not None else Path(os.path.realpath(os.fsdecode(data))).stem
    previous = store.imageset(name) if store is not None and name in store.datasets() else None
    images = scan(data, name=name, previous=previous, content=content, progress=lambda d, t: report("scan", d, t, ""))
    notes = _skipped(images)
    if split and (images.splits != "").any():
        notes.append("the data brings its own train/val/test parts; `split` changed nothing")
    elif split:
        for part, fraction in split.items():
            images = hold_out(images, part, fraction, split_seed)
    elif split is None and previous is not None and (images.splits == "").all() and (previous.splits != "").any():
        images = _keep_splits(images, previous)
        notes.append("kept the parts held out by an earlier `split`; new images go to train")
    return images, notes


def _skipped(images: ImageSet) -> list[str]:
    """What to say of the folders that cannot be read, and of other files."""
    unreadable = [entry for entry in images.skipped if entry.reason.startswith(UNREADABLE)]
    notes = [f"{printable_path(entry.path)}: {entry.reason}; its images are left out" for entry in unreadable]
    if skipped := sum(entry.reason != "hidden" for entry in images.skipped) - len(unreadable):
        what = "1 other file was" if skipped == 1 else f"{skipped} other files were"
        notes.append(f"{what} skipped; `featstore info` lists the reasons")
    return notes


def _keep_splits(images: ImageSet, previous: ImageSet) -> ImageSet:
    """Give every image the part that its bytes had before; new images are for training."""
    known = dict(zip((d.tobytes() for d in previous.digests), previous.splits.tolist(), strict=True))
    splits = np.array([known.get(d.tobytes(), "train") for d in images.digests], dtype=images.splits.dtype)
    return dataclasses.replace(images, splits=splits)
