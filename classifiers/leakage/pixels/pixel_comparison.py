"""PixelComparison: whether two pictures are one, by what can be seen: aligned, then compared tile by tile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch.nn import functional

from classifiers.leakage.pixels.prepared_pictures import VISIBLE, Layers, PreparedPictures
from classifiers.leakage.pixels.registration import AS_IT_IS, EVERY, places_under, refined, rough_alignments
from classifiers.threads import one_each

DIFFERENT, SAME, UNTOLD = range(3)
"""What the pixels say of a pair: two pictures; one picture; too little is to be seen in them to tell."""

_WORTH_A_TRY = 0.5  # correlation of the rough alignment from which it is refined
_CLEAR = 0.9  # and from which no other alignment needs to be looked for
_NEAR = 0.6  # and of the coarse refinement from which the fine one is worth it: fine structure agrees less than coarse
_STARTS = 3  # rough alignments that are refined
_BLOCK = 12_288  # pairs at a time
_REFINED = 128  # pairs that are refined at a time, so that what they need stays in the processor's cache
_TILES = 8  # a side, overlapping by half
_AGREES = 0.5  # correlation from which a tile shows the same in both pictures
_ALIKE = 0.75  # correlation of all tiles together from which two pictures may be one
_DISSENT = 0.1  # share of the tiles with structure that may not agree
_FEWEST = 6  # tiles with structure that are needed to tell
_SHARED = 0.6  # of the smaller picture that has to lie within the other


@dataclasses.dataclass(frozen=True, eq=False)
class PixelComparison:
    """What the pixels say of pairs of pictures.

    Attributes
    ----------
    verdict : ndarray of shape (m,), int8
        DIFFERENT, SAME or UNTOLD.
    agreement : ndarray of shape (m,), float32
        Correlation of the aligned pictures' structure, in [-1, 1]; 0 where none was worth a try.
    dissent : ndarray of shape (m,), float32
        Share of the tiles with structure that do not agree; 1 where none was worth a try.
    kinds : tuple of m str
        How the second lies on the first: "", "mirrored", "turned", "cropped" or several of them.
    """

    verdict: NDArray[np.int8]
    agreement: NDArray[np.float32]
    dissent: NDArray[np.float32]
    kinds: tuple[str, ...]


def compare_pixels(
    pictures: PreparedPictures,
    pairs: NDArray[np.int64],
    thorough: NDArray[np.bool_] | None = None,
    progress: Callable[[int], None] | None = None,
) -> PixelComparison:
    """Compare pairs of small pictures.

    Two pictures are one where, laid on each other, nearly all tiles that show something show the same. Frames of one
    burst and photographs of one place agree in some tiles and not in others. Saving again, size, light, grey, mirrors,
    crops down to 0.6 of a side, turns up to 30 degrees and by right angles do not matter.

    Parameters
    ----------
    pictures : PreparedPictures
    pairs : ndarray of shape (m, 2), int64
        Into `pictures`.
    thorough : ndarray of shape (m,), bool, optional
        Pairs for which crops and turns are tried, too. Default: all.
    progress : callable, optional
        Told how many pairs are done.

    Returns
    -------
    PixelComparison

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.kron(rng.integers(0, 256, (3, 8, 8)), np.ones((8, 8))).astype(np.uint8)
    >>> x[1] = x[0, :, ::-1] // 2 + 40  # mirrored, in other light
    >>> seen = compare_pixels(PreparedPictures(x), np.array([[0, 1], [0, 2]]))
    >>> seen.verdict.tolist(), seen.kinds
    ([1, 0], ('mirrored', ''))
    """
    m = len(pairs)
    verdict, agreement = np.zeros(m, np.int8), np.zeros(m, np.float32)
    dissent, maps = np.ones(m, np.float32), np.tile(np.eye(2, 3, dtype=np.float32), (m, 1, 1))
    full = np.ones(m, dtype=bool) if thorough is None else thorough
    order = _side_by_side(len(pictures), pairs) if m else np.arange(0)
    size = max(1, min(_BLOCK, -(-m // torch.get_num_threads())))
    blocks = [order[at : at + size] for at in range(0, m, size)]
    with one_each() as pool:

        def compared(block: NDArray[np.intp]) -> _Found:
            layers, local = pictures.layers_of(pairs[block])
            return _compared(layers, local, full[block])

        done = 0
        for block, found in zip(blocks, pool.map(compared, blocks), strict=True):
            verdict[block], agreement[block], dissent[block], maps[block] = found
            done += len(block)
            if progress is not None:
                progress(done)
    kinds = tuple(_kind(one) if said == SAME else "" for one, said in zip(maps, verdict, strict=True))
    return PixelComparison(verdict, agreement, dissent, kinds)


def _side_by_side(n: int, pairs: NDArray[np.int64]) -> NDArray[np.intp]:
    """An order of pairs in which those that share pictures are near each other: blocks of them need fewer pictures."""
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    rank = np.empty(n, dtype=np.int64)
    rank[reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)] = np.arange(n)
    places = np.sort(rank[pairs], axis=1)
    return np.lexsort((places[:, 1], places[:, 0]))


_Found = tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def _compared(layers: Layers, pairs: NDArray[np.int64], full: NDArray[np.bool_]) -> _Found:
    """Verdict, agreement, dissent and map of each pair of one block."""
    scores, maps = rough_alignments(layers.coarse, pairs, AS_IT_IS, _STARTS)
    more = np.flatnonzero(full & (scores[:, 0] < _CLEAR))
    if more.size:
        scores[more], maps[more] = rough_alignments(layers.coarse, pairs[more], EVERY, _STARTS)
    verdict, agreement = np.zeros(len(pairs), np.int8), np.zeros(len(pairs), np.float32)
    dissent, chosen = np.ones(len(pairs), np.float32), maps[:, 0].copy()
    verdict[layers.blank[pairs].any(axis=1)] = UNTOLD
    for rank in range(_STARTS):
        tried = np.flatnonzero((scores[:, rank] >= _WORTH_A_TRY) & (verdict == DIFFERENT))
        for at in range(0, len(tried), _REFINED):
            some = tried[at : at + _REFINED]
            one, two = (torch.from_numpy(pairs[some, side]) for side in (0, 1))
            found, fits = refined(
                layers.coarse[one], layers.coarse[two], torch.from_numpy(maps[some, rank]), layers.shown_coarse[one], 10
            )
            near = (fits >= _NEAR).numpy()
            some, one, two, found = some[near], one[near], two[near], found[near]
            found, _ = refined(layers.fine[one], layers.fine[two], found, layers.shown[one], 4)
            said, agrees, dissents = _judged(layers, one, two, found)
            better = (said == SAME) | (agrees > agreement[some])
            where = some[better]
            verdict[where], agreement[where] = said[better], agrees[better]
            dissent[where], chosen[where] = dissents[better], found.numpy()[better]
    return verdict, agreement, dissent, chosen


def _judged(
    layers: Layers, one: torch.Tensor, two: torch.Tensor, maps: torch.Tensor
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """What aligned pictures say, tile by tile."""
    side = layers.fine.shape[-1]
    grid = places_under(maps, side)
    within = ((grid.abs() < 1 - 1 / side).all(dim=-1)).float()
    stacked = torch.stack([layers.fine[two], layers.shown[two]], dim=1)
    moved = functional.grid_sample(stacked, grid, align_corners=False)
    seen = within * layers.shown[one] * (moved[:, 1] > 0.99)
    a, b = layers.fine[one] * seen, moved[:, 0] * seen

    def tiled(values: torch.Tensor) -> torch.Tensor:
        halves = functional.avg_pool2d(values[:, None], side // _TILES)
        return functional.avg_pool2d(halves, 2, 1)[:, 0].flatten(1)

    covered = tiled(seen)
    share = covered.clamp(min=1e-3)
    mean_a, mean_b = tiled(a) / share, tiled(b) / share
    spread_a = (tiled(a * a) / share - mean_a**2).clamp(min=0)
    spread_b = (tiled(b * b) / share - mean_b**2).clamp(min=0)
    together = tiled(a * b) / share - mean_a * mean_b
    counted = (covered > 0.4).float()
    # The light of one may be brighter than the other's: its structure is measured in the other's grey levels.
    gain = (spread_a * counted).sum(1, keepdim=True) / (spread_b * counted).sum(1, keepdim=True).clamp(min=1e-6)
    larger = torch.maximum(spread_a, spread_b * gain)
    typical = (larger * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
    structure = counted * ((larger > 0.05 * typical) & (torch.maximum(spread_a, spread_b) > VISIBLE**2))
    correlation = together / (spread_a * spread_b).sqrt().clamp(min=1e-6)
    weight = structure * covered * larger.sqrt()
    total = weight.sum(dim=1).clamp(min=1e-6)
    agreement = (weight * correlation).sum(dim=1) / total
    # Here each tile counts alike: a rich foreground must not outvote the ground it stands on.
    each = structure * covered
    dissent = (each * (correlation < _AGREES)).sum(dim=1) / each.sum(dim=1).clamp(min=1e-6)

    area = torch.linalg.det(maps[:, :, :2]).abs().clamp(min=1e-3)  # of the second's frame that the first's covers
    shared = within.mean(dim=(1, 2)) * torch.maximum(torch.ones_like(area), area)
    enough = structure.sum(dim=1) >= _FEWEST
    same = enough & (agreement >= _ALIKE) & (dissent <= _DISSENT) & (shared >= _SHARED)
    said = torch.where(same, SAME, DIFFERENT).to(torch.int8)
    return said.numpy(), agreement.numpy(), dissent.numpy()


def _kind(found: NDArray[np.float32]) -> str:
    """What a map from one picture's frame to the other's does, in words."""
    linear = found[:, :2].astype(np.float64)
    words = []
    if np.linalg.det(linear) < 0:
        words.append("mirrored")
        linear = linear @ np.diag([-1.0, 1.0])
    left, _, right = np.linalg.svd(linear)
    turn = left @ right
    if abs(np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))) > 5:
        words.append("turned")
    elif np.abs(np.concatenate([found[:, 2], np.linalg.norm(linear, axis=0) - 1])).max() > 0.06:
        words.append("cropped")
    return ", ".join(words)
