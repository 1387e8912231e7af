"""Shard names: the shard, the sample and the part that the path of an image tells."""

from __future__ import annotations

import re

from featstore.images.part_names import part_of
from featstore.images.shards import ENDINGS


def file_part(name: bytes) -> str:
    """The part that a file's name or its folder's tells: data/train-00000-of-00002.parquet is train.

    Examples
    --------
    >>> file_part(b"data/validation-00000-of-00002.parquet"), file_part(b"pets.parquet")
    ('val', '')
    """
    *folders, last = name.split(b"/")
    stem = re.sub(rb"(?i)[.](parquet|tar|tgz|tar[.]gz)$", b"", last)
    stem = re.sub(rb"(?i)[-_.]?(shard|part)?[-_.]?[0-9]+([-_.]of[-_.][0-9]+)?(-[0-9a-f]{16})?$", b"", stem)
    for word in (stem, *reversed(folders)):
        if part := part_of(word):
            return part
    return ""


def shard_of(path: bytes) -> bytes:
    """The shard that a path of a tree begins with; b"" where it begins with none.

    Examples
    --------
    >>> shard_of(b"train-000.tar/1.jpg"), shard_of(b"cats/1.jpg")
    (b'train-000.tar', b'')
    """
    first, slash, _ = path.partition(b"/")
    return first if slash and first.lower().endswith(ENDINGS) else b""


def sample_of(path: bytes) -> bytes:
    """What the members of a sample share: the path up to the first dot of the name.

    Examples
    --------
    >>> sample_of(b"a.tar/0001.seg.png")
    b'a.tar/0001'
    """
    start = path.rfind(b"/") + 1
    dot = path.find(b".", start)
    return path if dot < 0 else path[:dot]


def stem_of(shard: bytes) -> bytes:
    """An archive's name without its ending and without the number of a shard.

    Examples
    --------
    >>> stem_of(b"cats-000.tar")
    b'cats'
    """
    stem = re.sub(rb"(?i)[.](tar|tgz|tar[.]gz)$", b"", shard)
    return re.sub(rb"(?i)[-_.]?(shard|part)?[-_.][0-9]+([-_.]of[-_.][0-9]+)?$", b"", stem) or stem
