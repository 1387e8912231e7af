"""Classes from the names of folders, wherever parts, wrappers and further folders lie around or inside of them."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119, PTH122

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from featstore.errors import FeatstoreError, ImageSetError
from featstore.images.listing import Skipped
from featstore.images.part_names import classes_with_parts, parts_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
from featstore.layouts.folders.place import Place, number, shown, together
from featstore.layouts.folders.spans import Row, Span, classes_in, labelled
from featstore.layouts.part_folders import (
    MASK_NAME,
    MASK_WORD,
    beside,
    inside,
    is_beside,
    is_generic,
    kernel,
    lies_beside,
    pictures,
    split_folders,
    wrappers,
)
from featstore.system.reporting import argument, printable_path

NO_CLASS = "lies in no class folder"
NO_CLASSES = "lies in a part without class folders"
NO_IMAGES = "a folder without images"
MASK = 'a mask of the picture beside it by its name; `layout="class-folders"` takes all files'
BESIDE = "holds masks or annotations by its name, no class"

_LETTERS, _DIGITS = re.compile(rb"[^\W\d_]+"), re.compile(rb"[0-9]+")
_PIECES = frozenset(b"part parts batch chunk shard piece volume vol images image imgs img photos pictures data".split())

_DUMMIES = frozenset(b"unknown dummy none na nan unlabeled unlabelled class nolabel no_label no_class".split())

EXPECTED = "expected one sub-folder a class (cats/1.jpg, dogs/2.jpg), all of them optionally under train, val and test"
"""What an image folder looks like, for messages."""


class _Branch(NamedTuple):
    """Images of one folder, and the folders from the outermost class folder down to it."""

    spans: list[tuple[int, int]]
    folders: tuple[bytes, ...]
    split: str


@dataclass
class _Folders:
    """What was found below a base."""

    branches: list[_Branch] = field(default_factory=list)
    others: list[Span] = field(default_factory=list)  # without a class
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)  # of one heap of images
    masks: set[int] = field(default_factory=set)  # files named like a mask of the picture beside them
    in_part: bool = False  # the pieces lie in a part
    parts: dict[bytes, str] = field(default_factory=dict)
    used: set[bytes] = field(default_factory=set)  # parts that gave rows
    inner_parts: str = ""  # where parts are told by other than part folders


def read_class_folders(place: Place, reading: Reading) -> Labelled:
    """Take folders as classes.

    Parameters
    ----------
    place : Place
        Of the whole tree, or of the folder that holds the data.
    reading : Reading
        `layout` "class-folders" and "part-folders", `class_from` and `unlabelled` are heeded.

    Raises
    ------
    ImageSetError
        Where no image lies in a class folder, or there are two readings.

    Examples
    --------
    >>> from featstore.images.tree import Tree
    >>> tree = Tree(b"/p", [b"cats/1.jpg", b"dogs/2.jpg"], [1, 1], [0, 0], [(b"", 0), (b"cats", 1), (b"dogs", 1)])
    >>> read_class_folders(Place(tree), Reading()).labels_from
    '2 classes from folder names'
    """
    as_classes = reading.layout == "class-folders"
    base = wrappers(place, as_classes, as_classes)[-1]
    found = _Folders()
    if not as_classes and (masks := _masks(place)):
        found.masks = masks
    while not as_classes and reading.class_from in (None, "leaf") and (name := kernel(base)):
        _outer(base, name, reading, found)
        base = wrappers(base.at(name))[-1]
    mixed = {} if as_classes else classes_with_parts(pictures(base))
    if mixed:
        _read_mixed(base, reading, mixed, found)
    elif parts := {} if found.parts and not parts_of(base.children()) else split_folders(base, reading):
        found.parts |= parts
        _read_parts(base, reading, found)
    else:
        _read_classes(base, reading, "", found)
    spans = _named(base, reading, found)
    if not spans and not reading.unlabelled:
        raise ImageSetError(flat(base, base.count(), found.pieces, "part" if found.in_part else "class"))
    classes = classes_in(spans)
    if classes == 1 and reading.layout == "auto" and reading.class_from is None and _label_list(base.tree, naming=True):
        raise ImageSetError(flat(base, sum(count for _, count, _ in spans), only=True))
    if base.base != place.base and classes:
        found.notes.insert(0, f"the classes lie in the folder {printable_path(base.base)}")
    result = labelled(
        base,
        [*spans, *found.others],
        "class-part-folders" if found.inner_parts else "part-folders" if found.parts else "class-folders",
        f"{number(classes, 'class', 'classes')} from folder names" if classes else "",
        _parts_from(found),
        rest=NO_CLASS,
        told=(NO_CLASSES,),
        notes=found.notes,
    )
    result.skipped += found.skipped
    return result


def flat(base: Place, count: int, pieces: list[bytes] | None = None, kind: str = "class", only: bool = False) -> str:
    """The sentence for images that lie in no class folder, with the pattern or the list that suggests itself."""
    tree = base.tree
    start = next((row for row in range(len(tree.paths)) if tree.paths[row].startswith(base.base)), 0)
    example = printable_path(tree.paths[start])
    hint = _pattern_hint([os.path.basename(path) for path in tree.paths])
    best = _label_list(tree)
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


_LISTS = (b".csv", b".tsv", b".jsonl", b".parquet")


def _label_list(tree: Tree, naming: bool = False) -> bytes | None:
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


_LARGEST = 1 << 24  # bytes of a list that is read for a hint


def _pattern_hint(names: list[bytes]) -> str:
    """A pattern that would do where every name is letters before a number."""
    pattern = r"([^/]*[^/0-9_. ()-])[_. ()-]*[0-9]+[^/0-9]*$"
    found = [re.search(pattern.encode(), name) for name in names]
    classes = {match[1] for match in found if match}
    if not all(found) or not 2 <= len(classes) <= len(names) / 2:
        return ""
    first = printable_path(min(classes))
    return f" ({argument('labels', pattern)} would give {len(classes)} classes such as {first})"


def _read_mixed(base: Place, reading: Reading, mixed: dict[bytes, tuple[bytes, str]], found: _Folders) -> None:
    """Folders whose names hold the class and the part."""
    if reading.layout != "part-folders":
        name, (class_name, part) = min(mixed.items())
        raise ImageSetError(
            f"{shown(base)} has two readings: {together(sorted(mixed))} are classes of these names "
            f"({argument('layout', 'class-folders')}), or {printable_path(name)} is {part} of the class "
            f"{printable_path(class_name)} ({argument('layout', 'part-folders')}); say which"
        )
    for name, (class_name, part) in mixed.items():
        for folder, _ in _folders_below(base.at(name)):
            if spans := base.at(name).spans(folder):
                found.branches.append(_Branch(spans, (class_name,), part))
    found.inner_parts = "the names of the class folders"
    _loose(base, reading, "", found)


def _read_parts(base: Place, reading: Reading, found: _Folders) -> None:
    """Classes in part folders."""
    here = {name: split for name, split in found.parts.items() if name in base.children()}
    inner = {name: set(pictures(base, name)) for name in here}
    for name, split in here.items():
        others = {child for part, children in inner.items() if part != name for child in children}
        if len(set().union(*inner.values())) == 1:
            others = set()  # the only folder in every part wraps, for a single class would make no sense
        part = inside(base.at(name), others)
        if split and (again := _parts_again(part)):
            for one, its in again.items():
                found.parts[name + b"/" + one] = its
                found.used.add(name + b"/" + one)
                _read_classes(inside(part.at(one), others), reading, its, found)
            continue
        dummy = _dummy(part, split, [base.at(other) for other, its in here.items() if its == "train"])
        if part.children() and split and not dummy:
            found.used.add(name)
            _read_classes(part, reading, split, found, others)
            continue
        _unlabelled(base, name, split, reading, found, dummy)
    rest = [name for name in base.children() if name not in here]
    classes = [name for name in rest if not is_beside(name)]
    if reading.layout == "part-folders" and classes and "train" not in here.values():
        # the classes lie beside the one part that was put aside
        split = "train" if found.used - {name for name, part in found.parts.items() if not part} else ""
        _read_classes(base, reading, split, found, but=set(here))
        if split:
            found.notes.append("the class folders beside the part folders are taken as train")
        return
    for name in rest:
        _leave(base, name, BESIDE if is_beside(name) else "lies in a folder beside the part folders", found)
    _loose(base, reading, "", found)


def _unlabelled(
    base: Place, name: bytes, split: str, reading: Reading, found: _Folders, dummy: bytes | None = None
) -> None:
    """A part without class folders."""
    rows = [
        span for path, _ in _folders_below(base.at(name)) for span in base.spans(name + b"/" + path if path else name)
    ]
    if reading.unlabelled:
        found.used.add(name)
        found.others += [(start, count, Row(None, split)) for start, count in rows]
        return
    why = (
        f"for its only folder, {printable_path(dummy)}, is no class of train"
        if dummy
        else "for no class folders lie in it"
    )
    found.others += [(start, count, NO_CLASSES) for start, count in rows]
    found.notes.append(
        f"{number(base.count(name), 'image')} in {printable_path(name)} left out, {why}; "
        f"`unlabelled=True` takes them without labels"
    )


def _outer(base: Place, inner: bytes, reading: Reading, found: _Folders) -> None:
    """What lies beside the one folder that holds the data set: parts, and pictures that are none of it."""
    split_of = parts_of(base.children())
    found.notes.append(
        f"the folders beside {printable_path(inner)} hold no class folders, so the data set is taken to lie in it; "
        f"{argument('layout', 'class-folders')} takes the outermost folders as classes"
    )
    for name in base.children():
        if name == inner:
            continue
        if name in split_of:
            found.parts[name] = split_of[name]
            _unlabelled(base, name, split_of[name], reading, found)
        else:
            _leave(base, name, f"lies beside the folder {printable_path(inner)}, which holds the classes", found)
    _loose(base, reading, "", found)


def _parts_again(part: Place) -> dict[bytes, str]:
    """Parts of class folders inside of a part's folder: train/train and train/val."""
    names = pictures(part)
    split_of = parts_of(names)
    several = len(set(split_of.values())) > 1 and len(split_of) == len(names)
    return split_of if several and all(part.children(name) for name in names) else {}


def _dummy(part: Place, split: str, trains: list[Place]) -> bytes | None:
    """The one folder in a part that some programs want to see, and that is no class of train: test/0."""
    names = part.children()
    classes = {name for train in trains for name in pictures(inside(train, set()))}
    if split == "train" or len(names) != 1 or part.direct() or part.children(names[0]) or len(classes) < 2:
        return None
    name = one_form(names[0])
    told = name.isdigit() and not any(one.isdigit() for one in classes)
    return name if told or (name.lower() in _DUMMIES and name not in classes) else None


def _read_classes(
    base: Place,
    reading: Reading,
    split: str,
    found: _Folders,
    known: Set[bytes] = frozenset(),
    but: Set[bytes] = frozenset(),
) -> None:
    """Class folders of one part, or of all; `known` are names of folders in other parts."""
    tops = [name for name in base.children() if name not in but]
    any_name = reading.layout == "class-folders"
    free = reading.layout == "auto" and reading.class_from in (None, "leaf") and not known & set(tops)
    if free and _are_pieces(tops) and not all(parts_of(base.children(name)) for name in tops):
        inner = {inner for name in tops for inner in base.children(name)}
        if not all(map(is_generic, inner)) and not any(map(base.direct, tops)):
            for name in tops:
                _read_classes(base.at(name), reading, split, found, set(base.children(name)))
            found.notes.append(
                f"the folders {together(tops)} look like pieces of one heap, so the folders inside of them are the "
                f"classes; {argument('class_from', 'top')} takes {together(tops)} as classes"
            )
            return
        if reading.class_from is None:
            found.pieces, found.in_part = tops, bool(split)
            row: Row | str = Row(None, split) if reading.unlabelled else NO_CLASS
            for folder, _ in _folders_below(base):
                found.others += [(start, count, row) for start, count in base.spans(folder)]
            return
    if not any_name:
        aside = [] if reading.layout == "part-folders" and not _generic_rest(base) else beside(base)
        for name in aside:
            tops = [top for top in tops if top != name]
            _leave(base, name, BESIDE, found)
    found.skipped += [Skipped(base.whole(name), NO_IMAGES) for name in base.empty() if not base.at(name).empty()]
    in_classes = {} if split or any_name else _inner_parts(base, tops, reading)
    if in_classes:
        found.inner_parts = "the folders inside of the class folders"
    for top in tops:
        for name in set(base.children(top)) - set(in_classes[top]) if top in in_classes else ():
            _leave(base, top + b"/" + name, BESIDE, found)
        for part, part_split in in_classes.get(top, {b"": split}).items():
            place = base.at(top + b"/" + part if part else top)
            for folder, below in _folders_below(place):
                if not any_name and any(map(is_beside, below)) and lies_beside(place, below):
                    _leave(place, folder, BESIDE, found, deep=False)
                elif spans := place.spans(folder):
                    found.branches.append(_Branch(_without(spans, found), (top, *below), part_split))
    _loose(base, reading, split, found)


def _generic_rest(base: Place) -> bool:
    return all(is_generic(name) for name in base.children() if not is_beside(name))


def _are_pieces(names: list[bytes]) -> bool:
    """Whether folders are pieces of one heap of images by their names: images_part_1, images_part_2."""
    words = {tuple(_LETTERS.findall(name.lower())) for name in names}
    numbers = {tuple(_DIGITS.findall(name)) for name in names}
    return len(names) > 1 and len(words) == 1 and len(numbers) == len(names) and bool(_PIECES & set(*words))


def _inner_parts(base: Place, tops: list[bytes], reading: Reading) -> dict[bytes, dict[bytes, str]]:
    """Parts inside of each class folder; empty where there are none."""
    found = {}
    for top in tops:
        inner = pictures(base, top)
        split_of = parts_of(inner) if inner else {}
        if inner and len(split_of) == len(inner) and not base.direct(top):
            found[top] = split_of
    if found and len(found) < len(tops) and reading.layout != "part-folders":
        have, lack = next(iter(found)), next(top for top in tops if top not in found)
        raise ImageSetError(
            f"{shown(base)} has two readings: the folders in {printable_path(have)} "
            f"({together(list(found[have]))}) are parts, which {printable_path(lack)} lacks "
            f"({argument('layout', 'part-folders')}), or they belong to the class "
            f"({argument('layout', 'class-folders')}); say which, or sort {printable_path(lack)} into parts, too"
        )
    return found


def _named(base: Place, reading: Reading, found: _Folders) -> list[Span]:
    """Every branch with its class.

    Raises
    ------
    ImageSetError
        Where class folders are nested and nothing says which are the classes.
    """
    below: dict[bytes, set[tuple[bytes, ...]]] = {}
    for branch in found.branches:
        below.setdefault(branch.folders[0], set()).add(_plain(branch.folders)[1:])
    nested = {top: inner for top, inner in below.items() if inner != {()}}
    leaves = {(top, *min(inner))[-1] for top, inner in below.items()}
    # images directly in a class folder name it; one folder in each is harmless, unless inner folders of one name would
    # join some of the classes
    several = any(len(inner) > 1 and () not in inner for inner in nested.values())
    real = several or (nested and 1 < len(leaves) < len(below))
    choice = reading.class_from
    if real and choice is None and reading.layout != "class-folders":
        raise ImageSetError(_nested(base, below))
    if nested and choice is None:
        top, inner = next(iter(nested.items()))
        path = printable_path(b"/".join((top, *max(inner))))
        found.notes.append(
            f"class folders hold further folders ({path}): the outermost names the class, "
            f"{argument('class_from', 'leaf')} takes the innermost"
        )
    choice = choice or "top"
    names: dict[bytes, set[bytes]] = {}
    homes: dict[bytes, set[bytes]] = {}
    spans: list[Span] = []
    for branch in found.branches:
        folders = _plain(branch.folders)
        written = folders[0] if choice == "top" else folders[-1] if choice == "leaf" else b"/".join(folders)
        name = one_form(written)
        names.setdefault(name, set()).add(written)
        homes.setdefault(name, set()).add(b"/".join(folders))
        spans += [(start, count, Row(name, branch.split)) for start, count in branch.spans]
    double = [name for name, forms in names.items() if len(forms) > 1]
    if double:
        found.notes.append(
            f"{number(len(double), 'class', 'classes')} written in two Unicode forms, taken as one: "
            f"{', '.join(map(printable_path, double[:3]))}"
        )
    joined = [name for name, places in homes.items() if len(places) > 1] if choice == "leaf" else []
    if joined:
        found.notes.append(
            f"{number(len(joined), 'class', 'classes')} from several folders of one name, such as "
            f"{' and '.join(map(printable_path, sorted(homes[joined[0]])[:2]))}; {argument('class_from', 'path')} "
            f"keeps them apart"
        )
    return spans


def _nested(base: Place, below: dict[bytes, set[tuple[bytes, ...]]]) -> str:
    every = sorted((top, *inner) for top, inners in below.items() for inner in inners)
    leaves = Counter(folders[-1] for folders in every)
    top = next((top for top, inner in below.items() if len(inner) > 1), None)
    if top is None:  # then inner folders of one name would join classes
        leaf = next(name for name, count in leaves.items() if count > 1)
        paths = [b"/".join(folders) for folders in every if folders[-1] == leaf][:2]
        top = paths[0].partition(b"/")[0]
    else:
        leaf = (top, *max(below[top]))[-1]
        paths = [b"/".join(folders) for folders in every if folders[0] == top][:2]
    return (
        f"{shown(base)} has two readings, for class folders lie in class folders "
        f"({' and '.join(map(printable_path, paths))}): {number(len(below), 'class', 'classes')} by the outermost such "
        f"as {printable_path(top)} ({argument('class_from', 'top')}), or {number(len(leaves), 'class', 'classes')} by "
        f"the innermost such as {printable_path(leaf)} ({argument('class_from', 'leaf')}; "
        f"{argument('class_from', 'path')} names them by the whole path); say which{_hints(base, below)}"
    )


def _hints(base: Place, below: dict[bytes, set[tuple[bytes, ...]]]) -> str:
    """What else the outermost folders may be."""
    hint = ""
    if masks := [name for name in below if is_beside(name)]:
        hint = f"; {together(masks)} may hold masks of the pictures in the others: then give one of the others as DATA"
    deep = [name for name, inner in below.items() if inner != {()}]
    if len(deep) == 1 and len(below) > 1:
        hint += f"; where all classes lie in {printable_path(deep[0])}, give {shown(base.at(deep[0]))} as DATA"
    return hint


def _plain(folders: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Without the folders at the end that only say that there are images."""
    while len(folders) > 1 and is_generic(folders[-1]):
        folders = folders[:-1]
    return folders


def one_form(name: bytes) -> bytes:
    r"""One form for a name that Unicode can write in several.

    Examples
    --------
    >>> one_form(b"caf\x65\xcc\x81") == "caf\xe9".encode()
    True
    """
    if name.isascii():
        return name
    try:
        return unicodedata.normalize("NFC", name.decode()).encode()
    except UnicodeDecodeError:
        return name


def _folders_below(place: Place) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    """A folder and all below it that hold images: relative path, and its folders."""
    pending: list[tuple[bytes, ...]] = [()]
    while pending:
        folders = pending.pop()
        path = b"/".join(folders)
        yield path, folders
        pending += [(*folders, name) for name in reversed(place.children(path))]


def _leave(base: Place, path: bytes, reason: str, found: _Folders, deep: bool = True) -> None:
    """Leave out the images of a folder."""
    place = base.at(path)
    for folder, _ in _folders_below(place) if deep else [(b"", ())]:
        found.others += [(start, count, reason) for start, count in place.spans(folder)]


def _masks(place: Place) -> set[int]:
    """Positions of files named like masks of pictures that lie beside them, where most pictures have one."""
    found: dict[int, bytes] = {}
    paths = place.tree.paths
    if not MASK_WORD.search(b"\n".join(paths)):  # a look at all of them at once: nearly no data set has any
        return set()
    for row, path in enumerate(paths):
        home, slash, name = path.rpartition(b"/")
        if match := MASK_NAME.match(os.path.splitext(name)[0]):
            found[row] = home + slash + match[1]
    if not found:
        return set()
    stems = {os.path.splitext(path)[0] for row, path in enumerate(paths) if row not in found}
    masks = {row for row, stem in found.items() if stem in stems}
    return masks if len({found[row] for row in masks}) > len(stems) / 2 else set()


def _without(spans: list[tuple[int, int]], found: _Folders) -> list[tuple[int, int]]:
    """Spans of a class folder without the masks in them, which are left out."""
    if not found.masks:
        return spans
    rows = [row for start, count in spans for row in range(start, start + count)]
    found.others += [(row, 1, MASK) for row in rows if row in found.masks]
    return [(row, 1) for row in rows if row not in found.masks]


def _loose(base: Place, reading: Reading, split: str, found: _Folders) -> None:
    """Images beside class folders."""
    row: Row | str = Row(None, split) if reading.unlabelled else NO_CLASS
    found.others += [(start, count, row) for start, count in base.spans()]


def _paths(base: Place, name: bytes) -> Iterable[bytes]:
    place = base.at(name)
    return (path for folder, _ in _folders_below(place) for path, _ in place.images(folder))


def _ending(path: bytes) -> bytes:
    return os.path.splitext(path)[1].lower()


def _parts_from(found: _Folders) -> str:
    used = {row.split for _, _, row in found.others if isinstance(row, Row)} | {one.split for one in found.branches}
    parts = [part for part in ("train", "val", "test") if part in used]
    if not parts:
        return ""
    told = together(parts)
    if found.inner_parts:
        return f"{told} from {found.inner_parts}"
    names = [name for part in parts for name in sorted(found.parts) if found.parts[name] == part and name in found.used]
    return f"{told} from the folder{'s' * (len(names) > 1)} {together(names)}" if names else ""
