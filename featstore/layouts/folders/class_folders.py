"""Classes from the names of folders, wherever parts, wrappers and further folders lie around or inside of them."""

from __future__ import annotations

from featstore.errors import ImageSetError
from featstore.images.part_names import classes_with_parts, parts_of
from featstore.images.reading import Reading
from featstore.images.tree import Labelled
from featstore.layouts.folders.branches import NO_CLASS, Branch, Branches
from featstore.layouts.folders.class_names import named
from featstore.layouts.folders.label_hints import label_list, no_classes
from featstore.layouts.folders.masks import mask_files
from featstore.layouts.folders.part_classes import read_classes
from featstore.layouts.folders.part_folders import NO_CLASSES, read_parts, read_unlabelled, split_folders
from featstore.layouts.folders.picture_folders import kernel, pictures, wrappers
from featstore.layouts.folders.place import Place, number, shown, together
from featstore.layouts.folders.spans import classes_in, labelled
from featstore.system.reporting import argument, printable_path


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
    found = Branches()
    if not as_classes and (masks := mask_files(place)):
        found.masks = masks
    while not as_classes and reading.class_from in (None, "leaf") and (name := kernel(base)):
        _outer(base, name, reading, found)
        base = wrappers(base.at(name))[-1]
    mixed = {} if as_classes else classes_with_parts(pictures(base))
    if mixed:
        _read_mixed(base, reading, mixed, found)
    elif parts := {} if found.parts and not parts_of(base.children()) else split_folders(base, reading):
        found.parts |= parts
        read_parts(base, reading, found)
    else:
        read_classes(base, reading, "", found)
    spans = named(base, reading, found)
    if not spans and not reading.unlabelled:
        raise ImageSetError(no_classes(base, base.count(), found.pieces, "part" if found.in_part else "class"))
    classes = classes_in(spans)
    if classes == 1 and reading.layout == "auto" and reading.class_from is None and label_list(base.tree, naming=True):
        raise ImageSetError(no_classes(base, sum(count for _, count, _ in spans), only=True))
    if base.base != place.base and classes:
        found.notes.insert(0, f"the classes lie in the folder {printable_path(base.base)}")
    result = labelled(
        base,
        [*spans, *found.others],
        "class-part-folders" if found.inner_parts else "part-folders" if found.parts else "class-folders",
        f"{number(classes, 'class', 'classes')} from folder names" if classes else "",
        found.parts_from(),
        rest=NO_CLASS,
        told=(NO_CLASSES,),
        notes=found.notes,
    )
    result.skipped += found.skipped
    return result


def _outer(base: Place, inner: bytes, reading: Reading, found: Branches) -> None:
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
            read_unlabelled(base, name, split_of[name], reading, found)
        else:
            found.leave(base, name, f"lies beside the folder {printable_path(inner)}, which holds the classes")
    found.loose(base, "", reading)


def _read_mixed(base: Place, reading: Reading, mixed: dict[bytes, tuple[bytes, str]], found: Branches) -> None:
    """Folders whose names hold the class and the part."""
    if reading.layout != "part-folders":
        name, (class_name, part) = min(mixed.items())
        raise ImageSetError(
            f"{shown(base)} has two readings: {together(sorted(mixed))} are classes of these names "
            f"({argument('layout', 'class-folders')}), or {printable_path(name)} is {part} of the class "
            f"{printable_path(class_name)} ({argument('layout', 'part-folders')}); say which"
        )
    for name, (class_name, part) in mixed.items():
        for folder, _ in base.at(name).folders():
            if spans := base.at(name).spans(folder):
                found.branches.append(Branch(spans, (class_name,), part))
    found.inner_parts = "the names of the class folders"
    found.loose(base, "", reading)
