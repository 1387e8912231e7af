"""The names that people give to the parts of a data set: training_set, dev, VALID, seg_test, holdout, test1."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TRAIN = "train training trainings trn trainval trainvalid"
_VAL = "val valid validation validate validating dev devel development minival"
_TEST = "test testing tests tst eval evaluation evaluate holdout heldout"
_PRED = "pred predict prediction predictions infer inference unlabeled unlabelled"
_SILENT = (
    "set sets data dataset datasets image images img imgs picture pictures photo photos pic pics split splits part "
    "folder dir list file files seg public private mini labeled labelled"
)

_PARTS = {
    word: part
    for part, words in (("train", _TRAIN), ("val", _VAL), ("test", _TEST), ("", _PRED))
    for word in words.split()
}
_FILLERS = frozenset(_SILENT.split())
_ENDINGS = ("set", "sets", "data", "dataset", "images", "imgs", "img", "split", "folder")
_HOLD_OUT = re.compile(r"(?i)(?<![a-z])h[eo]ld[-_. ]?out(?![a-z])")
_HINT = re.compile(r"(?i)tra?i?n|val|dev|te?st|h[eo]ld|pred|infer|unlabel")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_a-zA-Z]+")


def part_of(name: bytes | str) -> str | None:
    """The part that a folder, a file or a cell of a list means by its name.

    Capitals, numbers, separators and words such as "set", "data" or "images" do not matter.

    Parameters
    ----------
    name : bytes or str
        A single name, without folders and without a file's ending.

    Returns
    -------
    str or None
        "train", "val" or "test"; "" for images that are to be predicted (`pred`, `unlabelled`), which have neither
        label nor part; None where the name means no part. Training and validation in one (`trainval`) is "train".

    Examples
    --------
    >>> [part_of(name) for name in ("Training_Set", b"dev", "seg_test", "test1", "train2017", "seg_pred", "cats")]
    ['train', 'val', 'test', 'test', 'train', '', None]
    """
    part, rest = _parted(name)
    return None if rest else part


def parts_of(names: Iterable[bytes]) -> dict[bytes, str]:
    """Names of neighbours that mean parts: by themselves, or behind one word that all of them share.

    Parameters
    ----------
    names : iterable of bytes

    Returns
    -------
    dict of bytes to str
        As `part_of` tells them; names that mean no part are left out.

    Examples
    --------
    >>> parts_of([b"mnist_train", b"mnist_test", b"extra"])
    {b'mnist_train': 'train', b'mnist_test': 'test'}
    >>> parts_of([b"train", b"test", b"train_wagon"])
    {b'train': 'train', b'test': 'test'}
    """
    names = list(names)
    found = {name: part for name in names if (part := part_of(name)) is not None}
    if found:
        return found
    parted = {name: _parted(name) for name in names}
    shared = {tuple(map(str.lower, rest)) for part, rest in parted.values() if part is not None}
    if len(shared) != 1:
        return {}
    found = {name: part for name, (part, _) in parted.items() if part is not None}
    return found if len(set(found.values())) > 1 else {}


def classes_with_parts(names: Iterable[bytes]) -> dict[bytes, tuple[bytes, str]]:
    """Names that hold both a class and a part: name -> (class, part); empty where not every name does.

    Parameters
    ----------
    names : iterable of bytes

    Examples
    --------
    >>> classes_with_parts([b"train_cats", b"train_dogs", b"test_cats"])["train_cats".encode()]
    (b'cats', 'train')
    >>> classes_with_parts([b"train_cats", b"train_dogs"]), classes_with_parts([b"cats_train", b"cats_test"])
    ({}, {})
    """
    found = {}
    for name in names:
        part, rest = _parted(name)
        if not part or not rest:
            return {}
        found[name] = ("_".join(rest).encode("utf-8", "surrogateescape"), part)
    several = all(len({row[at] for row in found.values()}) > 1 for at in (0, 1))
    return found if several else {}


def _parted(name: bytes | str) -> tuple[str | None, tuple[str, ...]]:
    """The part that a name holds a word for, and its other words; None where it names two parts."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    parts: set[str] = set()
    rest: list[str] = []
    if not _HINT.search(text):  # nearly all names of 100,000 classes
        return None, ()
    for written in _WORDS.findall(_HOLD_OUT.sub("holdout", text)):
        word = written.lower()
        part = _PARTS.get(word)
        for ending in _ENDINGS if part is None else ():
            part = _PARTS.get(word.removesuffix(ending)) if word.endswith(ending) else None
            if part is not None:
                break
        if part is not None:
            parts.add(part)
        elif word not in _FILLERS:
            rest.append(written)
    if all(word.isdigit() for word in rest):
        rest = []  # test1 is a test part; class1_test holds a further name, of which the number is a piece
    if parts == {"train", "val"}:
        parts = {"train"}
    return (next(iter(parts)) if len(parts) == 1 else None), tuple(rest)
