"""Registration: how one small picture has to be moved to lie on another: found roughly by correlation, then refined."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

COARSE = 32
"""Pixels of a side at which the rough alignment is looked for."""

_FEW = 256
"""Pairs or pictures at a time, so that what they need stays in the processor's cache."""

_TURNS = (-28.0, -14.0, 14.0, 28.0, 90.0, 180.0, 270.0)  # degrees
_WINDOWS = ((0.8, 0.8), (0.63, 0.63), (0.75, 1.0), (1.0, 0.75))  # shares of width and height that a crop keeps


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One way in which a picture may have come from another.

    Attributes
    ----------
    turn : float
        Degrees.
    mirror : bool
    window : (width, height)
        Share of the other picture that the whole of this one shows.
    of_first : bool
        The first picture of a pair is the part, not the second.
    """

    turn: float = 0.0
    mirror: bool = False
    window: tuple[float, float] = (1.0, 1.0)
    of_first: bool = False

    @property
    def matrix(self) -> NDArray[np.float64]:
        """2 x 2, from the frame of the whole to that of the part, both within [-1, 1]."""
        angle = np.deg2rad(self.turn)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.asarray(turned @ np.diag([-1.0 if self.mirror else 1.0, 1.0]))


AS_IT_IS = tuple(Hypothesis(mirror=mirror) for mirror in (False, True))
"""Saved again, resized, grey, in other light; mirrored or not."""

EVERY = (
    *AS_IT_IS,
    *(Hypothesis(0.0, m, window, first) for window in _WINDOWS for m in (False, True) for first in (False, True)),
    *(Hypothesis(turn, m) for m in (False, True) for turn in _TURNS),
)
"""These, crops and turns."""


def rough_alignments(
    images: torch.Tensor, pairs: NDArray[np.int64], hypotheses: tuple[Hypothesis, ...], most: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalised cross-correlation of pairs under every hypothesis and shift.

    Parameters
    ----------
    images : Tensor of shape (n, 32, 32), float32
        Without their local mean.
    pairs : ndarray of shape (m, 2), int64
        Into `images`.
    hypotheses : tuple of Hypothesis
    most : int
        Alignments wanted of each pair.

    Returns
    -------
    scores : ndarray of shape (m, most), float32
        Correlations in [-1, 1], the best first.
    maps : ndarray of shape (m, most, 2, 3), float32
        Affine maps from the first picture's frame ([-1, 1], x to the right, y down) to the second's.
    """
    used, inverse = np.unique(pairs, return_inverse=True)
    pair = torch.from_numpy(inverse.reshape(-1, 2))
    own = images[torch.from_numpy(used)]
    spectrum = torch.fft.rfft2(own)
    energy = torch.fft.rfft2(own.square())
    found_scores, found_places = [], []
    template = inside = mask = torch.empty(0)
    before: Hypothesis | None = None
    for hypothesis in hypotheses:
        part, whole = (pair[:, 0], pair[:, 1]) if hypothesis.of_first else (pair[:, 1], pair[:, 0])
        # Those that differ in nothing but which picture is the part, or in what is behind one mask, follow each other.
        if before != (before := dataclasses.replace(hypothesis, of_first=False)):
            grid = _grid(hypothesis)
            template = _templates(own, grid)
            covered = ((grid.abs() <= 1).all(dim=-1)).float()
            if not torch.equal(covered, mask):
                mask, inside = covered, _inside(energy, covered)
        score, place = torch.empty(len(pair)), torch.empty(len(pair), dtype=torch.int64)
        for at in range(0, len(pair), _FEW):
            here, there = whole[at : at + _FEW], part[at : at + _FEW]
            seen = torch.fft.irfft2(spectrum[here] * template[there], s=(COARSE, COARSE))
            torch.max((seen * inside[here]).flatten(1), dim=1, out=(score[at : at + _FEW], place[at : at + _FEW]))
        found_scores.append(score.numpy())
        found_places.append(place.numpy())
    scores, places = np.stack(found_scores, axis=1), np.stack(found_places, axis=1)
    if len(hypotheses) < most:  # fewer alignments than were wanted: the last ones are as unlike as can be
        lacking = most - len(hypotheses)
        scores = np.pad(scores, ((0, 0), (0, lacking)), constant_values=-1.0)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    maps = np.tile(np.eye(2, 3, dtype=np.float32), (*order.shape, 1, 1))
    for number, hypothesis in enumerate(hypotheses):
        rows, ranks = np.nonzero(order == number)
        maps[rows, ranks] = _maps(hypothesis, places[rows, number])
    return np.take_along_axis(scores, order, axis=1).astype(np.float32), maps


def _grid(hypothesis: Hypothesis) -> torch.Tensor:
    """Where the pixels of a frame (1, 32, 32, 2) lie in a part that stands in its upper left."""
    width, height = hypothesis.window
    corner = np.array([[1 / width, 0, 1 / width - 1], [0, 1 / height, 1 / height - 1]])
    return places_under(torch.from_numpy((hypothesis.matrix @ corner).astype(np.float32))[None], COARSE)


def _templates(images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Conjugate spectra of every picture as it would look as a part, brought to length 1."""
    out = []
    for at in range(0, len(images), _FEW):
        part = functional.grid_sample(images[None, at : at + _FEW], grid, align_corners=False)[0]
        length = part.square().sum((1, 2), keepdim=True).clamp(min=1e-6).sqrt()
        out.append(torch.fft.rfft2(part / length).conj().resolve_conj())
    return torch.cat(out)


def _inside(energy: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """One over the length of what every picture shows under a mask at each shift, (n, 32, 32)."""
    window = torch.fft.rfft2(covered).conj().resolve_conj()
    out = torch.empty(len(energy), COARSE, COARSE)
    for at in range(0, len(energy), _FEW):
        seen = torch.fft.irfft2(energy[at : at + _FEW] * window, s=(COARSE, COARSE))
        torch.rsqrt(seen.clamp_(min=1e-6), out=out[at : at + _FEW])
    return out


def _maps(hypothesis: Hypothesis, place: NDArray[np.intp]) -> NDArray[np.float64]:
    """Maps (m, 2, 3) for parts found at flat positions; the frame is a torus, so the shift that shows most is meant."""
    share = np.array(hypothesis.window)
    shift = np.stack([place % COARSE, place // COARSE], axis=1).astype(np.float64)
    shift = np.where(shift > COARSE * (1 - share / 2), shift - COARSE, shift) * 2 / COARSE
    to_frame = np.zeros((len(place), 3, 3))
    to_frame[:, [0, 1], [0, 1]] = 1 / share
    to_frame[:, :2, 2] = (1 - shift) / share - 1
    to_frame[:, 2, 2] = 1
    inner = np.eye(3)
    inner[:2, :2] = hypothesis.matrix
    found = inner @ to_frame
    return np.asarray(np.linalg.inv(found) if hypothesis.of_first else found, dtype=np.float64)[:, :2]


def places_under(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Where the pixels of a frame lie under affine maps (m, 2, 3): (m, side, side, 2), as `grid_sample` takes it."""
    return functional.affine_grid(maps, [len(maps), 1, side, side], align_corners=False)


def refined(
    first: torch.Tensor, second: torch.Tensor, maps: torch.Tensor, weights: torch.Tensor, steps: int
) -> torch.Tensor:
    """Affine maps that make the second pictures lie on the first ones as well as they can.

    Parameters
    ----------
    first, second : Tensor of shape (m, s, s), float32
        Without their local mean.
    maps : Tensor of shape (m, 2, 3), float32
        To begin with.
    weights : Tensor of shape (m, s, s), float32
        0 where the first picture shows nothing.
    steps : int

    Returns
    -------
    Tensor of shape (m, 2, 3)

    References
    ----------
    Evangelidis, G., Psarakis, E. (2008). Parametric image alignment using enhanced correlation coefficient
    maximization. IEEE Transactions on Pattern Analysis and Machine Intelligence 30.
    """
    n, side = len(first), first.shape[-1]
    slopes = torch.zeros(n, 3, side, side)
    slopes[:, 0] = second
    slopes[:, 1, :, 1:-1] = (second[:, :, 2:] - second[:, :, :-2]) * (side / 4)
    slopes[:, 2, 1:-1] = (second[:, 2:] - second[:, :-2]) * (side / 4)
    middle = (torch.arange(side) + 0.5) * 2 / side - 1
    x, y = middle[None, :].expand(side, side).flatten(), middle[:, None].expand(side, side).flatten()
    ones = torch.stack([x, y, torch.ones_like(x)])
    columns = torch.empty(n, 8, side * side)  # by which the map changes the second picture; the first; the second
    for _ in range(steps):
        grid = (maps.reshape(2 * n, 3) @ ones).view(n, 2, side, side).permute(0, 2, 3, 1).contiguous()
        moved = functional.grid_sample(slopes, grid, align_corners=False).flatten(2)
        seen = ((grid.abs().amax(dim=-1) < 1) * weights).flatten(1)
        total = seen.sum(dim=1, keepdim=True).clamp(min=1)
        for at, slope in ((0, moved[:, 1] * seen), (3, moved[:, 2] * seen)):
            torch.mul(slope, x, out=columns[:, at])
            torch.mul(slope, y, out=columns[:, at + 1])
            columns[:, at + 2] = slope
        columns[:, 6] = _centred(first.flatten(1), seen, total)
        columns[:, 7] = _centred(moved[:, 0], seen, total)
        products = columns @ columns.transpose(1, 2)
        normal = products[:, :6, :6]
        # A thousandth of the diagonal keeps directions that the picture does not determine from running away.
        normal = normal + torch.diag_embed(1e-3 * torch.diagonal(normal, dim1=1, dim2=2) + 1e-6)
        gain = (products[:, 7, 7].sqrt() / products[:, 6, 6].sqrt().clamp(min=1e-6))[:, None]
        step = torch.linalg.solve(normal, gain * products[:, :6, 6] - products[:, :6, 7])
        maps = maps + step.view(-1, 2, 3).clamp(-0.25, 0.25)
    return maps


def _centred(values: torch.Tensor, seen: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    return (values - (values * seen).sum(dim=1, keepdim=True) / total) * seen
