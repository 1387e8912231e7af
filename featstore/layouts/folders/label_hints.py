"""Label hints: what is said of images in no class folder, with the pattern or the list that tells their labels."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119, PTH122

from __future__ import annotations

import os
import re

from featstore.errors import FeatstoreError
from featstore.images.tree import Tree
from featstore.layouts.folders.place import Place, number, shown, together
from featstore.system.reporting import argument, printable_path

EXPECTED = "expected one sub-folder a class (cats/1.jpg, dogs/2.jpg), all of them optionally under train, val and test"
"""What an image folder looks like, for messages."""

_LISTS = (b".csv", b".tsv", b".jsonl", b".parquet")
_LARGEST = 1 << 24  # bytes of a list that is read for a hint
_LETTERS = re.compile(rb"[^\W\d_]+")


def no_classes(
    base: Place, count: int, pieces: list[bytes] | None = None, kind: str = "class", only: bool = False
) -> str:
    """The sentence for images that lie in no class folder, with the pattern or the list that suggests itself."""
    tree = base.tree
    start = next((row for row in range(len(tree.paths)) if tree.paths[row].startswith(base.base)), 0)
    example = printable_path(tree.paths[start])
    hint = _pattern_hint([os.path.basename(path) for path in tree.paths])
    best = label_list(tree)
    listed = f"; where a list has the classes, name it ({argument('labels', printable_path(best))})" if best else ""
    said = f"{number(count, 'image')} in {shown(base)} lie in no class folder (such as {example}); {EXPECTED}"
    if only:
        said = (
            f"the {number(count, 'image')} of {shown(base)} lie in one folder (such as {example}), and a list names "
            f"them; {argument('layout', 'class-folders')} takes the folder as the only class"
        )
    if pieces:
        said = (
            f"the folders {together(pieces)} of {shown(base)} look like pieces of one heap of images, not classes; "
            f"{argument('layout', kind + '-folders')} takes them as classes"
        )
    return (
        f"{said}{listed}; where the class is in the name or path, give a regular expression as `labels`, its first "
        f"group the class{hint}; to take the images without labels, say `unlabelled=True`"
    )


def label_list(tree: Tree, naming: bool = False) -> bytes | None:
    """The list that has labels and names the most images; with `naming` only one that names half of them."""
    from featstore.lists.column_names import is_part, label_rank
    from featstore.lists.table import read_table

    stems = {os.path.splitext(os.path.basename(path))[0] for path in tree.paths}
    ranked = []
    for path in sorted(path for path in tree.others if path.lower().endswith(_LISTS)):
        words = set(_LETTERS.findall(os.path.basename(path).lower()))
        if tree.others[path][0] > _LARGEST or words & {b"sample", b"submission", b"samplesubmission"}:
            continue
        try:
            table = read_table(tree.read(path), path)
        except FeatstoreError:
            continue
        others = [name for name in table.columns if not is_part(name)]
        cells = [
            {os.path.splitext(os.path.basename(os.fsencode(cell)))[0] for cell in table.column(i)}
            for i in range(min(len(table.columns), 12))
        ]
        named = max((len(stems & column) for column in cells), default=0)
        labels = any(label_rank(name) is not None for name in others)
        if len(others) < 2 or (naming and 2 * named < len(stems)):
            continue
        ranked.append((labels, named, path))
    return max(ranked, key=lambda one: one[:2])[2] if ranked else None


def _pattern_hint(names: list[bytes]) -> str:
    """A pattern that would do where every name is letters before a number."""
    pattern = r"([^/]*[^/0-9_. ()-])[_. ()-]*[0-9]+[^/0-9]*$"
    found = [re.search(pattern.encode(), name) for name in names]
    classes = {match[1] for match in found if match}
    if not all(found) or not 2 <= len(classes) <= len(names) / 2:
        return ""
    first = printable_path(min(classes))
    return f" ({argument('labels', pattern)} would give {len(classes)} classes such as {first})"
