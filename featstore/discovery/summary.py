"""What was found: an image set told to people and in JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from featstore.images.image_set import ImageSet

_CLASSES_SHOWN = 12


def found_json(images: ImageSet) -> dict[str, Any]:
    """What was found of a data set, as documents hold it.

    Returns
    -------
    dict
        `layout`, `labels_from`, `parts_from`, `counts` (part -> class -> images), `unlabelled`, `groups` (how many,
        None without), `formats` (-> images), `skipped` (reason -> entries), `notes`, `doubts`.

    Examples
    --------
    >>> import numpy as np
    >>> digests = np.random.default_rng(0).integers(0, 256, (4, 32), dtype=np.uint8)
    >>> pets = ImageSet(
    ...     name="pets", root=b"/pets", paths=tuple(b"%d.jpg" % i for i in range(4)), digests=digests,
    ...     sizes=np.full(4, 900), mtimes=np.zeros(4, np.int64), labels=np.array([0, 0, 1, -1]),
    ...     splits=np.full(4, "", "<U5"), classes=("cat", "dog"), problems=("",) * 4,
    ...     about={"layout": "class-folders", "labels_from": "2 classes from the names of folders"},
    ... )
    >>> found_json(pets)["counts"], found_json(pets)["unlabelled"]
    ({'': {'cat': 2, 'dog': 1}}, 1)
    """
    about = images.about
    return {
        "layout": about.get("layout", ""),
        "labels_from": about.get("labels_from", ""),
        "parts_from": about.get("parts_from", ""),
        "counts": images.counts(),
        "unlabelled": int((~images.labelled()).sum()),
        "groups": len(set(images.groups) - {""}) if images.groups else None,
        "formats": dict(sorted(Counter(kind for kind in images.kinds if kind).items())),
        "skipped": dict(Counter(_kind(entry.reason) for entry in images.skipped).most_common()),
        "notes": about.get("notes", []),
        "doubts": about.get("doubts", []),
        **{name: about[name] for name in ("address", "sha256") if name in about},
    }


def found_lines(name: str, count: int, found: Mapping[str, Any]) -> list[str]:
    """What was found of a data set, line by line for people; without its notes and doubts.

    Parameters
    ----------
    name : str
        Of the data set.
    count : int
        Images in all.
    found : mapping
        As `found_json` makes it.

    Examples
    --------
    >>> found_lines("pets", 3, {"labels_from": "2 classes from folder names", "counts": {"": {"cat": 2, "dog": 1}}})
    ['pets: 3 images; 2 classes from folder names', '  no part: 3 images (cat 2, dog 1)']
    """
    sources = "; ".join(text for text in (found.get("labels_from"), found.get("parts_from")) if text)
    lines = [f"{name}: {_images(count)}{'; ' if sources else ''}{sources}"]
    for part, counts in found.get("counts", {}).items():
        total = sum(counts.values())
        if total:
            lines.append(f"  {part or 'no part'}: {_images(total)} ({_classes(counts)})")
    if found.get("unlabelled"):
        lines.append(f"  without a label: {_images(found['unlabelled'])}")
    if found.get("groups") is not None:
        lines.append(f"  groups: {found['groups']:,}, each of which stays on one side of every fold")
    if found.get("formats"):
        lines.append(f"  formats: {', '.join(f'{name} {count:,}' for name, count in found['formats'].items())}")
    if skipped := {reason: count for reason, count in found.get("skipped", {}).items() if reason != "hidden"}:
        told = [f"{count:,} ({reason})" for reason, count in skipped.items()][:4]
        more = f" and {len(skipped) - 4} more kinds" if len(skipped) > 4 else ""
        lines.append(f"  left out: {', '.join(told)}{more}")
    return lines


def _classes(counts: dict[str, int]) -> str:
    """Images of each class, where there are few; else how many classes and the range."""
    there = {name: count for name, count in counts.items() if count}
    if len(there) <= _CLASSES_SHOWN:
        return ", ".join(f"{name} {count:,}" for name, count in there.items())
    low, high = min(there.values()), max(there.values())
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{len(there):,} classes of {each}: {', '.join(list(there)[:3])}, ..."


def _kind(reason: str) -> str:
    """A reason without what only one entry has."""
    return reason.partition(": unknown bytes")[0] if ": unknown bytes" in reason else reason


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
