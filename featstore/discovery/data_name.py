"""The name of a data set where the user gives none: that of its folder or file."""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH119

from __future__ import annotations

import os
import re

from featstore.discovery.pictures import Pictures
from featstore.system.reporting import printable_path

_ENDING = re.compile(
    rb"\.(tar\.gz|tgz|tar|zip|csv|tsv|txt|jsonl|json|parquet)$|[-_.]?\{[0-9]+\.\.[0-9]+\}.*$|[-_.]?[*?].*$",
    re.IGNORECASE,
)
"""What a name says of the kind of file, or of its many parts, and not of the data."""


def data_name(data: str | bytes | os.PathLike[str] | Pictures) -> str:
    """Name of a data set: its folder's or file's, without an ending that tells the kind of file.

    A folder keeps what stands behind a dot: `birds.2024` and `birds.2025` are two data sets.

    Examples
    --------
    >>> data_name("/data/pets.tar.gz"), data_name("/data/birds.2024"), data_name("https://example.org/cats.zip?raw=1")
    ('pets', 'birds.2024', 'cats')
    """
    if isinstance(data, Pictures):
        return "pictures"
    place = os.fsencode(data)
    if re.match(rb"https?://", place, re.IGNORECASE):
        place = re.split(rb"[?#]", place)[0].rstrip(b"/")
    elif os.path.exists(place):  # noqa: PTH110 - bytes
        place = os.path.realpath(place)
        if os.path.isdir(place):  # noqa: PTH112 - bytes
            return printable_path(os.path.basename(place)) or "images"
    last = os.path.basename(place)
    return printable_path(_ENDING.sub(b"", last) or last) or "images"
