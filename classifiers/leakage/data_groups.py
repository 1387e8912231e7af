"""Groups that the data bring: images of one patient, one video, one place, as a column of the list names them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from classifiers.formatting import count, listing, printable, quoted
from classifiers.validation.protocol import EvaluationProtocol
from featstore.features import FeatureSet


def data_groups(features: FeatureSet) -> NDArray[np.int64] | None:
    """The group of every image as the data name it.

    Parameters
    ----------
    features : FeatureSet

    Returns
    -------
    ndarray of shape (n,), int64, or None
        An image without a group is one of its own; None where no two images share a group.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> names = tuple(f"{i}.jpg" for i in range(4))
    >>> scans = FeatureSet(
    ...     X=np.ones((4, 2), np.float32), y=np.array([0, 1, 0, 1]), ids=names, classes=("ill", "well"),
    ...     splits=np.full(4, ""), digests=np.zeros((4, 32), np.uint8), fingerprint=made, dataset="scans", root=b"/",
    ...     paths=tuple(map(str.encode, names)), groups=("patient 1", "", "patient 1", ""),
    ... )
    >>> data_groups(scans).tolist()
    [0, 1, 0, 2]
    """
    numbers: dict[tuple[bool, str], int] = {}
    keys = [(not name, name or str(row)) for row, name in enumerate(features.groups)]
    found = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    return found if len(numbers) < len(found) else None


def joined(one: NDArray[np.int64] | None, other: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Groups that keep together whatever one of two groupings keeps together; None stands for no groups.

    Examples
    --------
    >>> joined(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
    [0, 0, 0, 1]
    """
    if one is None or other is None:
        return one if other is None else other
    pairs = [neighbours(grouping) for grouping in (one, other)]
    return connected_groups(len(one), *np.concatenate(pairs, axis=1))


def connected_groups(n: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the group of each of n rows, when the pairs (a, b) belong together, shape (n,).

    Examples
    --------
    >>> connected_groups(4, np.array([0, 1]), np.array([1, 3])).tolist()
    [0, 0, 1, 0]
    """
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def neighbours(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of rows that chain the rows of each group, shape (2, m), int64.

    Examples
    --------
    >>> neighbours(np.array([5, 3, 5, 5])).tolist()
    [[0, 2], [2, 3]]
    """
    order = np.argsort(groups, kind="stable")
    chained = groups[order[:-1]] == groups[order[1:]]
    return np.stack([order[:-1][chained], order[1:][chained]]).astype(np.int64)


def group_text(groups: NDArray[np.int64]) -> str:
    """One sentence: how many groups the data bring, and what becomes of them.

    Examples
    --------
    >>> group_text(np.array([0, 1, 0, 2]))
    'The data name 1 group of two or more images; images of one group stay on one side of every fold.'
    """
    several = int((np.bincount(groups) > 1).sum())
    return (
        f"The data name {count(several, 'group')} of two or more images; images of one group stay on one side of "
        "every fold."
    )


def pattern_text(pattern: str, aside: NDArray[np.int64] | None) -> str:
    """One sentence: images are grouped by a regular expression, in the place of the groups that the data bring.

    Parameters
    ----------
    pattern : str
    aside : ndarray of shape (n,), int64, or None
        The groups that the data bring.

    Examples
    --------
    >>> pattern_text("p[0-9]+", np.array([0, 1, 0, 2]))[-61:]
    'one side of every fold; the 1 group of the data is set aside.'
    """
    said = f"Images whose paths give the same text for the expression {quoted(pattern)} stay on one side of every fold"
    if aside is None:
        return f"{said}."
    several = int((np.bincount(aside) > 1).sum())
    return f"{said}; the {count(several, 'group')} of the data {'is' if several == 1 else 'are'} set aside."


def same_bytes(features: FeatureSet) -> NDArray[np.int64] | None:
    """Number of each image's bytes, shape (n,); None where no two images have the same."""
    numbers = np.unique(features.digests, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    return numbers if len(np.unique(numbers)) < len(numbers) else None


def split_groups(features: FeatureSet, protocol: EvaluationProtocol) -> str:
    """What to say where the data's own parts divide the data's own groups; "" where they do not.

    Parameters
    ----------
    features : FeatureSet
    protocol : EvaluationProtocol
    """
    if protocol.name != "given" or data_groups(features) is None:
        return ""
    ((train, test),) = protocol.outer
    names = np.array(features.groups)
    both = [name for name in np.intersect1d(names[train], names[test]).tolist() if name]
    if not both:
        return ""
    judged = int(np.isin(names[test], both).sum())
    return (
        f"{count(len(both), 'group')} of the data ({listing([printable(name) for name in both], most=3)}) have images "
        f"in the training and in the test part: {count(judged, 'test image')} are judged by a head that has seen their "
        "group; `drop_leaks=True` leaves such images out of training."
    )
