"""Doubts: what an image set shows that makes its classes or parts look misread."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.image_set import ImageSet
from featstore.images.part_names import part_of
from featstore.system.reporting import argument, printable_path

SEVERAL = "labels look like several"
"""How the note of a list begins whose cells hold several labels."""

NAMES = (
    "part-like-classes", "system-classes", "folders-as-classes", "long-names", "names-alike", "one-class",
    "several-labels", "unique-labels", "same-bytes-in-two-classes", "parts-without-common-class", "class-in-one-part",
    "copies-in-two-parts", "group-in-two-parts", "replaced-data-set",
)  # fmt: skip
"""What `allow` may name."""

MOST_SHOWN = 5
"""Names in a sentence."""

_LONG_NAME = 200
"""Characters of a class name above which it is rather a text."""

_NOTES = re.compile(
    r"^(mask|segmentation|segment|annotation|trimap|xml|bbox|bounding[ _-]?box|ground[ _-]?truth|gt|label|meta(data)?)"
    r"(e?s|s?[ _-]?(png|jpg|xml|class|object))?$",
    re.IGNORECASE,
)
_PLACES = re.compile(r"^(image|img|picture|photo|jpe?g|png|jpegimage)s?$", re.IGNORECASE)
"""Folders for notes about pictures, and for pictures of any class."""

_SYSTEM = re.compile(r"^(__macosx|@eadir|#recycle|\$recycle\.bin|lost\+found|system volume information|\..*)$", re.I)


@dataclasses.dataclass(frozen=True)
class Doubt:
    """Something doubtful about an image set.

    Attributes
    ----------
    name : str
        By which `allow` takes it.
    text : str
        One sentence without a full stop.
    refuses : bool
        Whether features of it could only lead to nonsense: the run stops unless the doubt is allowed.

    Examples
    --------
    >>> Doubt("one-class", "only one class, 'cat'; classifiers need two", False).to_json()["name"]
    'one-class'
    """

    name: str
    text: str
    refuses: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields, as documents hold them."""
        return dataclasses.asdict(self)


def find_doubts(images: ImageSet) -> list[Doubt]:
    """What is doubtful about classes and parts, the gravest first; empty where nothing is.

    Images without a part count as training images.

    Parameters
    ----------
    images : ImageSet

    Examples
    --------
    >>> digests = np.random.default_rng(0).integers(0, 256, (8, 32), dtype=np.uint8)
    >>> pets = ImageSet(
    ...     name="pets", root=b"/pets", paths=tuple(b"%d.jpg" % i for i in range(8)), digests=digests,
    ...     sizes=np.full(8, 900), mtimes=np.zeros(8, np.int64), labels=np.repeat([0, 1], 4),
    ...     splits=np.full(8, "", "<U5"), classes=("train", "test1"), problems=("",) * 8,
    ... )
    >>> [doubt.name for doubt in find_doubts(pets)]
    ['part-like-classes']
    """
    found = [*_of_names(images), *_of_classes(images), *_of_copies(images), *_of_parts(images)]
    return sorted(found, key=lambda doubt: not doubt.refuses)


def require_no_doubt(images: ImageSet, allowed: Iterable[str]) -> None:
    """Stop where features could only lead to nonsense.

    Parameters
    ----------
    images : ImageSet
        With its doubts in `about`.
    allowed : iterable of str
        Names of doubts that the user allows.

    Raises
    ------
    ImageSetError
        With the first doubt that refuses and is not allowed, and the way out.
    UnknownNameError
        Where a name is that of no doubt.
    """
    names = set(allowed)
    for name in sorted(names - set(NAMES)):
        raise UnknownNameError("doubt", name, NAMES, "`allow` takes the name that a refusal gives")
    for doubt in images.about.get("doubts", []):
        if doubt["refuses"] and doubt["name"] not in names:
            raise ImageSetError(
                f"{images.name!r}: {doubt['text']}; if it is meant so, allow it with {argument('allow', doubt['name'])}"
            )


def _of_names(images: ImageSet) -> Iterator[Doubt]:
    """Class names that are those of something else."""
    classes = images.classes
    parts = [name for name in classes if part_of(name) is not None]
    if parts and len(parts) == len(classes):
        yield Doubt(
            "part-like-classes",
            f"the only classes are {_listed(parts)}, which are names of parts: a classifier would learn to tell them "
            "apart",
            refuses=True,
        )
    elif parts:
        yield Doubt("part-like-classes", f"{_listed(parts)} among the classes {_is(parts)} named like a part")
    system = [name for name in classes if _SYSTEM.match(name)]
    if system:
        yield Doubt(
            "system-classes", f"{_listed(system)} among the classes {_is(system)} made by a system, not by people"
        )
    notes = [name for name in classes if _NOTES.match(name)]
    if len(classes) > 1 and all(_NOTES.match(name) or _PLACES.match(name) for name in classes):
        yield Doubt(
            "folders-as-classes",
            f"the classes are {_listed(classes)}, which are names of places for pictures and notes about them, not of "
            "kinds of pictures",
            refuses=True,
        )
    elif notes:
        yield Doubt(
            "folders-as-classes", f"{_listed(notes)} among the classes may be no class but notes about pictures"
        )
    long = [name for name in classes if len(name) > _LONG_NAME]
    if long:
        yield Doubt(
            "long-names", f"{len(long)} class names have more than {_LONG_NAME} characters, such as {long[0][:40]!r}..."
        )
    yield from _alike(classes)


def _alike(classes: tuple[str, ...]) -> Iterator[Doubt]:
    """Names that differ in case, spaces or marks only."""
    seen: dict[str, list[str]] = {}
    for name in classes:
        plain = unicodedata.normalize("NFKC", name).casefold()
        seen.setdefault(re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", plain).strip(), []).append(name)
    pairs = [names for names in seen.values() if len(names) > 1]
    if pairs:
        yield Doubt("names-alike", f"{_listed(pairs[0])} differ in case, spaces or marks only; are they one class?")


def _of_classes(images: ImageSet) -> Iterator[Doubt]:
    """How many classes there are, and of what size."""
    classes, labels = images.classes, images.labels[images.labelled()]
    if len(classes) == 1:
        own = classes[0].encode("utf-8", "surrogateescape")
        inner = sorted({parts[1] for path in images.paths if len(parts := path.split(b"/")) > 2 and parts[0] == own})
        hint = f"; it has sub-folders ({printable_path(inner[0])}, ...): are these the classes?" if inner else ""
        yield Doubt("one-class", f"only one class, {classes[0]!r}; classifiers need two{hint}")
    if not len(labels):
        return
    counts = np.bincount(labels, minlength=len(classes))
    single = int((counts == 1).sum())
    told = next((note for note in images.about.get("notes", []) if note.startswith(SEVERAL)), None)
    shared = _combined(classes)
    if shared:
        alone = len(shared) > 1 and single > len(classes) / 2
        yield Doubt(
            "several-labels",
            f"{SEVERAL}: {_listed(shared)} {_is(shared)} taken as one class each, for an image has one",
            refuses=alone,
        )
    elif told is not None:
        yield Doubt("several-labels", told)
    elif single == len(classes) >= 10:
        yield Doubt(
            "unique-labels", f"each of the {len(classes)} classes has one image only: are these labels, or names?"
        )


def _combined(classes: tuple[str, ...]) -> list[str]:
    """Names that put several labels together: words between commas, semicolons or bars that recur in other names, or
    words between spaces, + or / that are all classes by themselves."""
    known = set(classes)
    listed = {name: parts for name in classes if len(parts := _words(r"\s*[,;|]\s*", name)) > 1}
    uses = Counter(word for parts in listed.values() for word in set(parts))
    found = [name for name, parts in listed.items() if any(uses[word] > 1 or word in known for word in parts)]
    for name in classes:
        words = [] if name in listed else _words(r"[\s+/]+", name)
        if len(words) > 1 and known >= set(words):
            found.append(name)
    return found


def _words(mark: str, name: str) -> list[str]:
    """The words of a name; none where a mark stands within a number, as in 1,000."""
    if re.fullmatch(r"[\d.,]+", name):
        return []
    return [word for word in re.split(mark, name) if word]


def _of_copies(images: ImageSet) -> Iterator[Doubt]:
    """The same bytes with two labels, or in two parts."""
    good = np.flatnonzero(images.readable() & images.labelled() & (images.sizes > 0))  # empty files are no pictures
    if not len(good):
        return
    _, code = np.unique(np.ascontiguousarray(images.digests[good]).view("S32").ravel(), return_inverse=True)
    labels = images.labels[good]
    lowest = np.full(code.max() + 1, np.iinfo(np.int64).max)
    highest = np.full(code.max() + 1, -1)
    np.minimum.at(lowest, code, labels)
    np.maximum.at(highest, code, labels)
    torn = lowest[code] != highest[code]
    if torn.any():
        first = good[int(np.flatnonzero(torn)[0])]
        other = next(
            r
            for r in good[torn].tolist()
            if (images.digests[r] == images.digests[first]).all() and images.labels[r] != images.labels[first]
        )
        yield Doubt(
            "same-bytes-in-two-classes",
            f"{int(torn.sum())} images have the same bytes as one of another class, such as "
            f"{images.display(int(first))} and {images.display(other)}; no classifier can get both right",
            refuses=bool(torn.mean() > 0.5),
        )


def _of_parts(images: ImageSet) -> Iterator[Doubt]:
    """Classes and pictures of the training part against those of the parts to judge on."""
    labelled, splits = images.labelled(), images.splits
    train = ((splits == "train") | (splits == "")) & labelled
    for split in ("val", "test"):
        here = (splits == split) & labelled
        if not (here.any() and train.any()):
            continue
        learnt, judged = set(images.labels[train].tolist()), set(images.labels[here].tolist())
        if not learnt & judged:
            yield Doubt(
                "parts-without-common-class",
                f"no class of {split} ({_named(images, judged)}) is in train ({_named(images, learnt)})",
                refuses=True,
            )
        else:
            if judged - learnt:
                yield Doubt(
                    "class-in-one-part",
                    f"{_named(images, judged - learnt)} {_is(judged - learnt)} in {split} but not in train; no "
                    "classifier can get these right",
                )
            if learnt - judged:
                yield Doubt(
                    "class-in-one-part",
                    f"{_named(images, learnt - judged)} {_is(learnt - judged)} in train but not in {split}; they are "
                    "learnt but never judged",
                )
        there = images.readable() & (images.sizes > 0)
        known = {digest.tobytes() for digest in images.digests[train & there]}
        copies = sum(digest.tobytes() in known for digest in images.digests[here & there])
        if copies:
            yield Doubt(
                "copies-in-two-parts",
                f"{copies} image{'s' * (copies > 1)} in {split} {'are' if copies > 1 else 'is'} in train as well, byte "
                "for byte; they make every score too good",
            )
        if images.groups:
            ours = {images.groups[row] for row in np.flatnonzero(train).tolist()} - {""}
            both = sorted(ours & {images.groups[row] for row in np.flatnonzero(here).tolist()})
            if both:
                yield Doubt(
                    "group-in-two-parts",
                    f"{len(both)} group{'s' * (len(both) > 1)} ({_listed(both)}) {_is(both)} in train and in {split}; "
                    "what belongs together was divided",
                )


def _named(images: ImageSet, labels: set[int]) -> str:
    return _listed([images.classes[label] for label in sorted(labels)])


def _listed(names: Iterable[str]) -> str:
    quoted = [repr(name if len(name) <= 60 else f"{name[:60]}...") for name in names]
    more = f" and {len(quoted) - MOST_SHOWN} more" if len(quoted) > MOST_SHOWN else ""
    return f"{', '.join(quoted[:MOST_SHOWN])}{more}"


def _is(things: Iterable[Any]) -> str:
    return "is" if len(list(things)) == 1 else "are"
