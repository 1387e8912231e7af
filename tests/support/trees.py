"""Trees of small files for tests of layouts: pictures and lists written down as a dict."""

import os
from pathlib import Path

from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
from featstore.images.walk import list_tree
from featstore.layouts.labelling import label_tree

PICTURE = b"\xff\xd8\xff\xe0 a picture, as far as its first bytes tell"


def put(root: Path, *paths: str) -> Path:
    """Write pictures, each with bytes of its own."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(PICTURE + os.fsencode(path))
    return root


def write(root: Path, path: str, content: str | bytes) -> None:
    """Write a list."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content.encode() if isinstance(content, str) else content)


def tree_of(root: Path) -> Tree:
    return list_tree(os.fsencode(root.resolve()))


def label(root: Path, **reading: object) -> Labelled:
    """What `label_tree` makes of a folder."""
    return label_tree(tree_of(root), Reading(**reading))


def rows(found: Labelled) -> dict[str, tuple[str | None, str]]:
    """Path -> (class, part)."""
    says = [(name, split) for count, name, split in found.found.runs for _ in range(count)]
    assert len(says) == len(found.found.paths) == len(set(found.found.paths))
    return {
        os.fsdecode(path): (None if name is None else name.decode(), split)
        for path, (name, split) in sorted(zip(found.found.paths, says, strict=True))
    }


def classes(found: Labelled) -> set[str | None]:
    """The classes that rows have; None where one has no label."""
    return {name for name, _ in rows(found).values()}


def reasons(found: Labelled) -> dict[str, str]:
    """Path -> why it is no row."""
    return {os.fsdecode(one.path): one.reason for one in found.skipped}


def parts(found: Labelled) -> dict[str, int]:
    """Images in each part."""
    counts: dict[str, int] = {}
    for count, _, split in found.found.runs:
        counts[split] = counts.get(split, 0) + count
    return counts
