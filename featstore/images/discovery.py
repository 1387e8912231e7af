"""Discovery: the images of a folder or list, hashed: an ImageSet. Row order is decided here and nowhere else."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH119, PTH120

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.csv_list import list_csv
from featstore.images.hashing import hash_files
from featstore.images.image_set import ImageSet
from featstore.images.listing import Listing
from featstore.images.walk import Remembered, list_folder
from featstore.sources.addresses import addresses
from featstore.system.reporting import StageProgress, printable_path


def scan(
    data: str | bytes | os.PathLike[str],
    *,
    name: str | None = None,
    previous: ImageSet | None = None,
    content: bool = False,
    progress: StageProgress | None = None,
) -> ImageSet:
    """List and hash the images of a folder or CSV.

    A folder holds one sub-folder a class, all of it optionally under `train`, `val` and `test`; what lies in nested
    folders belongs to the class folder above. A CSV has the columns `path,label[,split]`, paths relative to its folder.

    Parameters
    ----------
    data : path
        A folder, or a file whose name ends in `.csv`.
    name : str, optional
        Name of the data set; default: the folder's or file's name.
    previous : ImageSet, optional
        An earlier scan. Where root, path, size and modification time are as in it, no byte of the file is read.
    content : bool
        Read every file, whatever `previous` says.
    progress : callable, optional
        Called with (files hashed, files to hash).

    Raises
    ------
    ImagesNotFoundError
        Where `data` does not exist.
    ImageSetError
        Where it holds no usable image set; the message says what was found and what was expected.

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
    place = os.path.abspath(os.fsencode(data))
    if not os.path.exists(place):
        raise ImagesNotFoundError(f"{printable_path(place)} does not exist; expected a folder of images or a .csv file")
    is_folder = os.path.isdir(place)
    if not is_folder and not (place.lower().endswith(b".csv") and os.path.isfile(place)):
        raise ImageSetError(
            f"{printable_path(place)} is a file; expected a folder of images or a .csv of path,label[,split]"
        )

    root = os.path.realpath(place if is_folder else os.path.dirname(place))
    known = previous if previous is not None and previous.root == root and not content else None
    listing = list_folder(root, _remembered(known)) if is_folder else list_csv(place, root)
    digests, problems = _digests(root, listing, known, progress)
    if all(problems):
        raise ImageSetError(
            f"none of the {len(problems)} images in {printable_path(place)} can be read; "
            f"the first, {printable_path(listing.paths[0])}: {problems[0]}"
        )
    if name is None:
        name = printable_path(os.path.basename(root) if is_folder else os.path.basename(place)[: -len(b".csv")])
    return ImageSet(
        name=name,
        root=root,
        paths=listing.paths,
        digests=digests,
        sizes=listing.sizes,
        mtimes=listing.mtimes,
        labels=listing.labels,
        splits=listing.splits,
        classes=listing.classes,
        problems=tuple(problems),
        skipped=listing.skipped,
    )


def _remembered(known: ImageSet | None) -> Remembered:
    """What the walk need not look into again: (path, size, mtime) of rows and of files that were no image."""
    if known is None:
        return Remembered(frozenset, {})
    others = {(s.path, s.size, s.mtime): s.reason for s in known.skipped if s.size >= 0}
    return Remembered(
        lambda: frozenset(zip(known.paths, known.sizes.tolist(), known.mtimes.tolist(), strict=True)), others
    )


def _digests(
    root: bytes, listing: Listing, known: ImageSet | None, progress: StageProgress | None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Digest of every row, taken from `known` where the file is unchanged; updates the listing's sizes and mtimes."""
    n = len(listing.paths)
    digests = np.zeros((n, 32), dtype=np.uint8)
    problems = [""] * n
    stale = np.ones(n, dtype=bool)
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
    todo = np.flatnonzero(stale)
    paths = addresses([os.path.join(root, listing.paths[row]) for row in todo])
    for row, hashed in zip(todo.tolist(), hash_files(paths, progress), strict=True):
        if hashed.problem:
            problems[row] = hashed.problem
        else:
            digests[row] = np.frombuffer(hashed.digest, dtype=np.uint8)
            listing.sizes[row], listing.mtimes[row] = hashed.size, hashed.mtime
    return digests, problems
