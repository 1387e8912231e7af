"""Remarks on images, joined to notes on a run: one for each kind, with the count and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_DARK = re.compile(r"16-bit, all values at most (\d+) of (\d+)")
_CUT = re.compile(r"16-bit, values up to (\d+) cut off above (\d+)")
_FIRST = re.compile(r"the (?:first|main one) of \S+ (pages|frames|pictures)")
_PREVIEW = re.compile(r"only the preview of ")
_TRUNCATED = re.compile(r"cut short or damaged, decoded as far as it goes")


def remark_notes(remarks: Iterable[str]) -> list[str]:
    """What to tell of the remarks of many images.

    Parameters
    ----------
    remarks : iterable of str
        One for each image that has any; several of one image are joined by "; ".

    Returns
    -------
    list of str

    Examples
    --------
    >>> remark_notes(["the first of 3 pages", "the first of 12 pages"])
    ['2 images hold several pages, of which the first is taken']
    """
    texts = [text for remark in remarks for text in remark.split("; ")]
    notes = []
    if dark := _numbers(_DARK, texts):
        most = max(dark)
        bits = max(9, most.bit_length())
        notes.append(
            f"{_images(len(dark), 'of 16 bits hold', 'of 16 bits holds')} no value above {most:,} of 65,535, so the "
            f"network sees little but black; if these are {bits}-bit values, extract with `bit_depth={bits}`"
        )
    if cut := _numbers(_CUT, texts):
        notes.append(
            f"{_images(len(cut), 'of 16 bits hold', 'of 16 bits holds')} values up to {max(cut):,}, more than the "
            "bit depth that was given has; they are cut off"
        )
    for what in ("pages", "frames", "pictures"):
        if count := sum(1 for text in texts if (found := _FIRST.match(text)) and found[1] == what):
            which = "main one" if what == "pictures" else "first"
            notes.append(f"{_images(count, 'hold', 'holds')} several {what}, of which the {which} is taken")
    if count := sum(1 for text in texts if _PREVIEW.match(text)):
        notes.append(
            f"of {_images(count)} only a small preview is decoded (raw camera files, or pages in several sizes); "
            "develop or save them as JPEG or PNG to have the whole picture"
        )
    if count := sum(1 for text in texts if _TRUNCATED.match(text)):
        notes.append(f"{_images(count, 'are', 'is')} cut short or damaged; what could be decoded was taken")
    return notes


def _numbers(pattern: re.Pattern[str], texts: Sequence[str]) -> list[int]:
    return [int(found[1]) for text in texts if (found := pattern.match(text))]


def _images(count: int, many: str = "", one: str = "") -> str:
    return f"{count:,} image{'' if count == 1 else 's'} {one if count == 1 else many}".strip()
