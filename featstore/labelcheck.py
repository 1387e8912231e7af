"""What is doubtful about the classes and splits of an image set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from featstore.reporting import printable

if TYPE_CHECKING:
    from featstore.imageset import ImageSet


def check_labels(images: ImageSet) -> list[str]:
    """One sentence for each doubt; empty where there is none.

    A single class, a class that only the training part or only a part to judge on has, and pictures that are in both.
    Images without a split count as training images.

    Parameters
    ----------
    images : ImageSet
    """
    doubts = []
    if len(images.classes) == 1:
        inner = sorted({parts[1] for path in images.paths if len(parts := path.split(b"/")) > 2})
        hint = f"; it has sub-folders ({printable(inner[0])}, ...): are these the classes?" if inner else ""
        doubts.append(f"only one class, {images.classes[0]!r}; classifiers need two{hint}")
    train = (images.splits == "train") | (images.splits == "")
    for split in ("val", "test"):
        here = images.splits == split
        if here.any() and train.any():
            doubts += _between(images, set(images.labels[train].tolist()), set(images.labels[here].tolist()), split)
            known = {digest.tobytes() for digest in images.digests[train & images.readable()]}
            copies = sum(digest.tobytes() in known for digest in images.digests[here & images.readable()])
            if copies:
                doubts.append(
                    f"{copies} image{'s' * (copies > 1)} in {split} {'are' if copies > 1 else 'is'} in train as well, "
                    f"byte for byte; they make every score too good"
                )
    return doubts


def _between(images: ImageSet, learnt: set[int], judged: set[int], split: str) -> list[str]:
    doubts = []
    if judged - learnt:
        unseen = _listed(images.classes[label] for label in sorted(judged - learnt))
        doubts.append(f"{unseen} in {split} but not in train; no classifier can get these right")
    if learnt - judged:
        untested = _listed(images.classes[label] for label in sorted(learnt - judged))
        doubts.append(f"{untested} in train but not in {split}; they are learnt but never judged")
    return doubts


def _listed(names: Iterable[str]) -> str:
    quoted = [repr(name) for name in names]
    more = f" and {len(quoted) - 5} more classes" if len(quoted) > 5 else ""
    return f"{', '.join(quoted[:5])}{more} {'is' if len(quoted) == 1 else 'are'}"
