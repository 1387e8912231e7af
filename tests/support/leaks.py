"""Leaks for tests: what the finder says of planted copies, and how a protocol parts them."""

import dataclasses

import numpy as np

from classifiers.leakage.duplicate_groups import find_duplicate_groups
from classifiers.leakage.leaks import find_leaks
from classifiers.validation.protocol import make_protocol


def look(features, source=None, **options):
    """Leaks and protocol; `keep`: groups stay together, `apart`: leaks are dropped."""
    duplicates = find_duplicate_groups(features) if source is None else with_copies(features, source)
    groups = duplicates.groups if options.pop("keep", False) else None
    apart = duplicates.groups if options.pop("apart", False) else None
    laid = make_protocol(features, groups=groups, apart=apart, **options)
    return find_leaks(features, laid, duplicates, grouped=groups is not None), laid


def with_copies(features, source):
    """What the finder says where the pixels confirm every pair of one source."""
    a, b = np.triu_indices(len(source), 1)
    pairs = np.stack([a, b], axis=1)[source[a] == source[b]]
    found = find_duplicate_groups(features)
    return dataclasses.replace(
        found, copies=pairs, cosine=np.ones(len(pairs), np.float32), kinds=("",) * len(pairs), look_alikes=pairs[:0],
        confirmed=np.ones(len(pairs), bool), groups=source,
        pixels=dataclasses.replace(found.pixels, compared=len(pairs), unread=()),
        conflicts=pairs[features.y[pairs[:, 0]] != features.y[pairs[:, 1]]],
    )  # fmt: skip


def same_bytes(features, pairs):
    """The features with files of the same bytes at each pair."""
    digests = features.digests.copy()
    for a, b in pairs:
        digests[b] = digests[a]
    return dataclasses.replace(features, digests=digests)
