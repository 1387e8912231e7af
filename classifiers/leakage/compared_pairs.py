"""ComparedPairs: what comparing the pixels of candidates brought."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import count, seconds
from classifiers.leakage.candidate_pairs import CandidatePairs
from classifiers.leakage.pixels.small_pictures import SmallPictures, read_small_pictures
from classifiers.leakage.usual_agreement import usual_agreement
from featstore.features import FeatureSet

LONG = 20_000
"""Images from which the time is told first."""

_TRIAL = 500  # images that are read before the time is estimated


@dataclass(frozen=True, eq=False)
class ComparedPairs:
    """Which candidates are copies, which of them the pixels confirm, and how.

    Attributes
    ----------
    confirmed : ndarray of shape (m,), bool
        The pixels agree, further than other pictures of the class do.
    copies : ndarray of shape (m,), bool
        These, and pairs that cannot be compared and whose features alone are sure.
    kinds : tuple of m str
        Of those that are confirmed, see `PixelComparison.kinds`; "" of others.
    compared : int
        Pairs whose pixels were compared.
    blank : int
        Of these, pairs with too little to see to tell.
    usual : int
        Of these, pairs that agree, but not clearly further than other pictures of their class do.
    unread : tuple of (reason, count)
        Why pictures could not be read.
    """

    confirmed: NDArray[np.bool_]
    copies: NDArray[np.bool_]
    kinds: tuple[str, ...]
    compared: int
    blank: int
    usual: int
    unread: tuple[tuple[str, int], ...]


def compare_pairs(
    features: FeatureSet, near: CandidatePairs, *, seed: int = 0, told: Callable[[str], None] | None = None
) -> ComparedPairs:
    """Read the pictures of candidates and compare them.

    Parameters
    ----------
    features : FeatureSet
    near : CandidatePairs
        Rows of `features`.
    seed : int
        Of the pairs that are drawn to see how far pictures of one class usually agree.
    told : callable, optional
        Told in a sentence what is about to be done and how long it takes, where that is long.

    Examples
    --------
    >>> from featstore.fingerprint import Fingerprint
    >>> from classifiers.leakage.candidate_pairs import find_candidate_pairs
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> X = np.random.default_rng(0).normal(size=(40, 20)).astype(np.float32)
    >>> X[1] = X[0] + 0.01
    >>> gone = FeatureSet(
    ...     X=X, y=np.arange(40) % 2, ids=tuple(map(str, range(40))), classes=("cat", "dog"), splits=np.full(40, ""),
    ...     digests=np.zeros((40, 32), np.uint8), fingerprint=made, dataset="pets", root=b"/gone",
    ...     paths=tuple(b"%d.jpg" % i for i in range(40)),
    ... )
    >>> near = find_candidate_pairs(X)
    >>> seen = compare_pairs(gone, near)
    >>> near.pairs[seen.copies].tolist(), seen.compared, seen.unread
    ([[0, 1]], 0, (('is gone', 40),))
    """
    m = len(near.pairs)
    nothing: NDArray[np.bool_] = np.zeros(m, dtype=np.bool_)
    if not m:
        return ComparedPairs(nothing, nothing, (), 0, 0, 0, ())
    wanted = np.unique(near.pairs)
    ahead = time_ahead(
        told, f"reading {count(len(wanted), 'image')} to compare their pixels", len(wanted), trial=_TRIAL
    )
    pictures = read_small_pictures(features, wanted, lambda done: ahead(done, len(wanted)))
    known = np.asarray(pictures.readable[pictures.places(near.pairs)].all(axis=1), dtype=np.bool_)
    if not known.any():
        return ComparedPairs(nothing, near.sure, ("",) * m, 0, 0, 0, pictures.reasons)
    rows = np.flatnonzero(known)
    said = _compared_pixels(features, pictures, near, rows, seed, told)
    confirmed = nothing.copy()
    confirmed[rows] = said.confirmed
    kinds = np.full(m, "", dtype=object)
    kinds[rows] = np.where(said.confirmed, np.array(said.kinds, dtype=object), "")
    copies = confirmed | (near.sure & ~known)
    return ComparedPairs(
        confirmed, copies, tuple(kinds.tolist()), len(rows), said.blank, said.usual, pictures.reasons
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Said:
    """What the pixels say of some pairs: confirmed and kinds of each, and how many are blank and agree as usual."""

    confirmed: NDArray[np.bool_]
    kinds: tuple[str, ...]
    blank: int
    usual: int


def _compared_pixels(
    features: FeatureSet,
    pictures: SmallPictures,
    near: CandidatePairs,
    rows: NDArray[np.intp],
    seed: int,
    told: Callable[[str], None] | None,
) -> _Said:
    from classifiers.leakage.pixels.pixel_comparison import SAME, UNTOLD, compare_pixels
    from classifiers.leakage.pixels.prepared_pictures import PreparedPictures

    pairs = near.pairs[rows]
    ahead = time_ahead(told, f"comparing the pixels of {count(len(rows), 'pair')} of images", len(pictures.rows))
    prepared = PreparedPictures(pictures.grey)

    def places(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which picture is laid on which is decided by their bytes, so that no order of the rows matters."""
        first, second = (features.digests[pairs[:, side]] for side in (0, 1))
        apart = first != second
        at = apart.argmax(axis=1)[:, None]
        swap = (np.take_along_axis(first, at, 1) > np.take_along_axis(second, at, 1))[:, 0]
        return pictures.places(np.where(swap[:, None], pairs[:, ::-1], pairs))

    found = compare_pixels(prepared, places(pairs), near.closest[rows], lambda done: ahead(done, len(rows)))
    same = found.verdict == SAME
    confirmed = same
    if same.any():
        readable = np.zeros(len(features), dtype=bool)
        readable[pictures.rows[pictures.readable]] = True
        y = np.where(readable, features.y, -1)
        usual = usual_agreement(
            features.X, y, near.pairs, lambda drawn: compare_pixels(prepared, places(drawn)).agreement, seed=seed
        )
        confirmed = same & usual.exceeded(found.agreement, pairs, features.y)
    return _Said(confirmed, found.kinds, int((found.verdict == UNTOLD).sum()), int((same & ~confirmed).sum()))


def time_ahead(
    told: Callable[[str], None] | None, what: str, images: int, *, trial: int = 0
) -> Callable[[int, int], None]:
    """A progress callback that tells once how long the rest takes, where that is long.

    Parameters
    ----------
    told : callable, optional
        Told the sentence; None where nobody listens.
    what : str
        What is being done, as the sentence begins.
    images : int
        Images that it is done with; the time of fewer than 20,000 is not told.
    trial : int
        So many have to be done before the time is estimated.

    Returns
    -------
    callable
        Takes how many are done and how many there are.

    Examples
    --------
    >>> progress = time_ahead(print, "counting the grains of sand", 50_000)
    >>> progress(49_999, 50_000)
    counting the grains of sand takes about 1.0 s
    >>> progress(50_000, 50_000)
    """
    began, said = time.perf_counter(), False

    def progress(done: int, altogether: int) -> None:
        nonlocal said
        if told is None or said or images < LONG or done < max(trial, 1):
            return
        said = True
        left = (time.perf_counter() - began) * (altogether / done - 1)
        told(f"{what} takes about {seconds(max(left, 1.0))}")

    return progress
