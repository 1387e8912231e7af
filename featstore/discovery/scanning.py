"""Scan: any data, hashed: an ImageSet. Row order is decided here and nowhere else."""

# Paths are bytes here, which pathlib does not know.

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featstore.discovery.data_name import data_name
from featstore.discovery.doubts import find_doubts
from featstore.discovery.opened import Opened, open_data
from featstore.discovery.pictures import Pictures
from featstore.errors import ImageSetError
from featstore.images.hashing import hash_files
from featstore.images.image_set import ImageSet
from featstore.images.listing import Listing
from featstore.images.reading import Reading
from featstore.images.walk import Remembered
from featstore.system.reporting import StageProgress, printable_path


def scan(
    data: str | bytes | os.PathLike[str] | Pictures,
    *,
    name: str | None = None,
    previous: ImageSet | None = None,
    content: bool = False,
    progress: StageProgress | None = None,
    reading: Reading | None = None,
    downloading: StageProgress | None = None,
) -> ImageSet:
    """List and hash the images of a folder, list, archive or address.

    Parameters
    ----------
    data : path, address or Pictures
        A folder of images in any layout that `featstore.layouts` knows; a list (.csv, .tsv, .txt, .jsonl); an archive
        (.zip, .tar, .tar.gz), WebDataset shards (`shard-{000..099}.tar`) or Parquet files, read in place; http(s)
        address of an archive; pictures in memory.
    name : str, optional
        Name of the data set; default: that of the folder or file.
    previous : ImageSet, optional
        An earlier scan. Where root, path, size and modification time are as in it, no byte of the file is read.
    content : bool
        Read every file, whatever `previous` says.
    progress : callable, optional
        Called with (files hashed, files to hash).
    reading : Reading, optional
        How the data are to be read; default: found out.
    downloading : callable, optional
        Called with the bytes done and the bytes in all, where `data` is an address.

    Returns
    -------
    ImageSet
        Its `about` tells where classes and parts came from, what was left out, and the doubts.

    Raises
    ------
    ImagesNotFoundError
        Where `data` does not exist.
    ImageSetError
        Where it holds no usable image set, or could be read in two ways; the message says what was found and what to
        do.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, colour in (("cats", "red"), ("dogs", "blue")):
    ...         os.mkdir(os.path.join(folder, name))
    ...         Image.new("RGB", (8, 8), colour).save(os.path.join(folder, name, "1.png"))
    ...     images = scan(folder, name="pets")
    >>> images.classes, images.paths
    (('cats', 'dogs'), (b'cats/1.png', b'dogs/1.png'))
    """
    how = reading or Reading()
    known = None if content else previous
    opened = open_data(data, how, lambda root: _remembered(known, root), downloading)
    labelled = opened.labelled
    listing = Listing.of(labelled.found, labelled.skipped, opened.root)
    if known is not None and known.root != opened.root:
        known = None
    digests, problems, kinds = _digests(opened, listing, known, progress)
    if all(problems):
        raise ImageSetError(
            f"none of the {len(problems)} images in {opened.place} can be read; "
            f"the first, {printable_path(listing.paths[0])}: {problems[0]}"
        )
    about: dict[str, Any] = {
        "layout": labelled.layout,
        "labels_from": labelled.labels_from,
        "parts_from": labelled.parts_from,
        "notes": labelled.notes,
        "reading": how.to_json(),
        **opened.about,
    }
    images = ImageSet(
        name=data_name(data) if name is None else name,
        root=opened.root,
        paths=listing.paths,
        digests=digests,
        sizes=listing.sizes,
        mtimes=listing.mtimes,
        labels=listing.labels,
        splits=listing.splits,
        classes=listing.classes,
        problems=tuple(problems),
        skipped=listing.skipped,
        groups=tuple(labelled.groups.get(path, "") for path in listing.paths) if labelled.groups else (),
        kinds=tuple(kinds) if any(kinds) else (),
        about=about,
    )
    if known is not None and "doubts" in known.about and _looks_alike(images, known):
        return images.with_about(doubts=known.about["doubts"])
    return images.with_about(doubts=[doubt.to_json() for doubt in find_doubts(images)])


def _looks_alike(images: ImageSet, known: ImageSet) -> bool:
    """Whether two sets agree in all that doubts are about."""
    texts = ("paths", "classes", "problems")
    arrays = ("labels", "splits", "digests")
    return all(getattr(images, name) == getattr(known, name) for name in texts) and all(
        np.array_equal(getattr(images, name), getattr(known, name)) for name in arrays
    )


def _remembered(known: ImageSet | None, root: bytes) -> Remembered:
    """What the walk need not look into again: (path, size, mtime) of rows and of files that were no image."""
    if known is None or known.root != root:
        return Remembered(frozenset, {})
    others = {(s.path, s.size, s.mtime): s.reason for s in known.skipped if s.size >= 0}
    return Remembered(
        lambda: frozenset(zip(known.paths, known.sizes.tolist(), known.mtimes.tolist(), strict=True)), others
    )


def _digests(
    opened: Opened, listing: Listing, known: ImageSet | None, progress: StageProgress | None
) -> tuple[NDArray[np.uint8], list[str], list[str]]:
    """Digest of every row, taken from `known` where the file is unchanged; updates the listing's sizes and mtimes.

    Returns problems and formats as well.
    """
    n = len(listing.paths)
    digests = np.zeros((n, 32), dtype=np.uint8)
    problems = [""] * n
    stale = np.ones(n, dtype=bool)
    kinds = np.full(n, "", dtype=object)
    if known is not None and len(known):
        if listing.paths == known.paths:
            here = there = np.arange(n)
        else:
            row_of = {path: row for row, path in enumerate(known.paths)}
            rows = np.array([row_of.get(path, -1) for path in listing.paths], dtype=np.int64)
            here = np.flatnonzero(rows >= 0)
            there = rows[here]
        same = (listing.sizes[here] == known.sizes[there]) & (listing.mtimes[here] == known.mtimes[there])
        same &= known.readable()[there]
        digests[here[same]] = known.digests[there[same]]
        stale[here[same]] = False
        if known.kinds:
            kinds[here[same]] = np.array(known.kinds, dtype=object)[there[same]]
    todo = np.flatnonzero(stale)
    for row, hashed in zip(todo.tolist(), hash_files(opened.addresses(listing.paths, todo), progress), strict=True):
        if hashed.problem:
            problems[row] = hashed.problem
        else:
            digests[row] = np.frombuffer(hashed.digest, dtype=np.uint8)
            listing.sizes[row], listing.mtimes[row] = hashed.size, hashed.mtime
            kinds[row] = hashed.kind.partition(" bytes ")[0]  # of unknown bytes not which
    return digests, problems, kinds.tolist()
