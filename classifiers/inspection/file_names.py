"""Names of the files that pictures are written to."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from featstore.errors import OutputExistsError
from featstore.system import fsio


def slug(text: str) -> str:
    """A text as part of a file name anywhere: letters of any script, in lower case, digits and single hyphens.

    At most 60 characters and 120 bytes.
    """
    known = unicodedata.normalize("NFC", text.lower())
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" else "-" for c in known)
    short = "-".join(part for part in kept.split("-") if part)[:60]
    return short.encode()[:120].decode("utf-8", "ignore").strip("-") or "unnamed"


def distinct_names(paths: Sequence[bytes]) -> list[str]:
    """A name for each path, all different also where capitals do not count: its own, numbered where that is taken."""
    taken: set[str] = set()
    names = []
    for path in paths:
        stem = slug(Path(os.fsdecode(path)).stem)
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        names.append(name)
    return names


@contextmanager
def output_folder(folder: Path, names: Iterable[str], overwrite: bool) -> Iterator[None]:
    """Make the folder for new files, before anything is computed; where that fails, no empty folder is left.

    Raises
    ------
    OutputExistsError
        One of the files is there already, or the folder is a file.
    StoreWriteError
        The disk refuses.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; name the folder for the results")
    for name in names:
        if not overwrite and (folder / name).exists():
            raise OutputExistsError(f"{folder / name} exists already; name another folder or add `overwrite=True`")
    made = not folder.is_dir()
    if made:
        fsio.make_directory(folder)
    try:
        yield
    except BaseException:
        if made:
            with suppress(OSError):  # what was written before stays
                folder.rmdir()
        raise
