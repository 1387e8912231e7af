"""Registration: how one small picture has to be moved to lie on another: found roughly by correlation, then refined."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

COARSE = 32
"""Pixels of a side at which the rough alignment is looked for."""

_FEW = 256  # pairs or pictures at a time, so that what they need stays in the processor's cache
_LOW = 5  # waves a side up to which structure is large
_STEP = 2  # pixels between the shifts under which it is compared
_KEPT = 6  # hypotheses of a pair under which all structure is compared
_FITS = 0.4  # correlation of the large structure from which it is
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
    def quarters(self) -> int:
        """Right angles that the whole is turned by, 0 to 3, once it is mirrored."""
        return round(self.turn / 90) % 4

    @property
    def part(self) -> Part:
        """How the part is drawn, which no right angle and no mirror changes."""
        return Part(self.turn - 90 * round(self.turn / 90), self.window)


@dataclasses.dataclass(frozen=True)
class Part:
    """How a picture is drawn as a part of another.

    Attributes
    ----------
    turn : float
        Degrees, at most 45 to either side.
    window : (width, height)
        Share of the frame that it takes.
    """

    turn: float = 0.0
    window: tuple[float, float] = (1.0, 1.0)

    @property
    def grid(self) -> torch.Tensor:
        """Where the pixels of a frame (1, 32, 32, 2) lie in a part that stands in its upper left."""
        width, height = self.window
        corner = np.array([[1 / width, 0, 1 / width - 1], [0, 1 / height, 1 / height - 1]])
        return places_under(torch.from_numpy((_turned(self.turn) @ corner).astype(np.float32))[None], COARSE)


def _turned(degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


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

    Their large structure is compared under every hypothesis; all of it under the few that it fits best.

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
        Correlations in [-1, 1], the best first; -1 where no other alignment was worth it.
    maps : ndarray of shape (m, most, 2, 3), float32
        Affine maps from the first picture's frame ([-1, 1], x to the right, y down) to the second's.
    """
    used, inverse = np.unique(pairs, return_inverse=True)
    pair = torch.from_numpy(inverse.reshape(-1, 2))
    frames = _Frames(images[torch.from_numpy(used)])
    large = np.stack([frames.large_fit(pair, hypothesis) for hypothesis in hypotheses], axis=1)
    worth = large >= _FITS
    if len(hypotheses) > _KEPT:
        worth &= large >= np.partition(large, -_KEPT, axis=1)[:, -_KEPT, None]
    wide = max(most, len(hypotheses))  # where fewer alignments are there than wanted, the last are as unlike as can be
    scores, places = np.full((len(pairs), wide), -1.0, np.float32), np.zeros((len(pairs), wide), np.int64)
    for number, hypothesis in enumerate(hypotheses):
        rows = np.flatnonzero(worth[:, number])
        scores[rows, number], places[rows, number] = frames.fit(pair[torch.from_numpy(rows)], hypothesis)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    maps = np.tile(np.eye(2, 3, dtype=np.float32), (*order.shape, 1, 1))
    for number, hypothesis in enumerate(hypotheses):
        rows, ranks = np.nonzero(order == number)
        maps[rows, ranks] = _maps(hypothesis, places[rows, number])
    return np.take_along_axis(scores, order, axis=1), maps


class _Frames:
    """Spectra of pictures, as wholes and as parts, and what of a whole is seen behind a part; each is made once."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images, self._waves = images, _waves()
        self._wholes: dict[tuple[int, bool], tuple[torch.Tensor, torch.Tensor]] = {}
        self._energies: dict[tuple[int, bool], torch.Tensor] = {}
        self._parts: dict[Part, tuple[torch.Tensor, torch.Tensor]] = {}
        self._inside: dict[tuple[Part, int, bool], tuple[torch.Tensor, torch.Tensor]] = {}

    def large_fit(self, pair: torch.Tensor, hypothesis: Hypothesis) -> NDArray[np.float32]:
        """Largest correlation of the large structure of pairs under every other shift, (m,)."""
        whole, part = (pair[:, 0], pair[:, 1]) if not hypothesis.of_first else (pair[:, 1], pair[:, 0])
        (_, wholes), (_, parts), (_, inside) = self._of(hypothesis)
        score = torch.empty(len(pair))
        for at in range(0, len(pair), _FEW):
            here, there = whole[at : at + _FEW], part[at : at + _FEW]
            products = torch.view_as_real(wholes[here] * parts[there]).flatten(1)
            torch.amax((products @ self._waves) * inside[here], dim=1, out=score[at : at + _FEW])
        return score.numpy()

    def fit(self, pair: torch.Tensor, hypothesis: Hypothesis) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Largest correlation of pairs, (m,), and the flat place of the shift under which it is."""
        whole, part = (pair[:, 0], pair[:, 1]) if not hypothesis.of_first else (pair[:, 1], pair[:, 0])
        (wholes, _), (parts, _), (inside, _) = self._of(hypothesis)
        score, place = torch.empty(len(pair)), torch.empty(len(pair), dtype=torch.int64)
        for at in range(0, len(pair), _FEW):
            here, there = whole[at : at + _FEW], part[at : at + _FEW]
            seen = torch.fft.irfft2(wholes[here] * parts[there], s=(COARSE, COARSE))
            torch.max((seen * inside[here]).flatten(1), dim=1, out=(score[at : at + _FEW], place[at : at + _FEW]))
        return score.numpy(), place.numpy()

    def _of(self, hypothesis: Hypothesis) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Wholes, parts and what is inside, each whole and of the large structure alone."""
        oriented, part = (hypothesis.quarters, hypothesis.mirror), hypothesis.part
        if oriented not in self._wholes:
            spectrum = torch.fft.rfft2(self._oriented(*oriented))
            self._wholes[oriented] = spectrum, _large(spectrum)
        if part not in self._parts:
            self._parts[part] = self._drawn(part)
        behind = (part, *oriented) if part.window != (1.0, 1.0) else (part, 0, False)  # else the same in all
        if behind not in self._inside:
            self._inside[behind] = self._behind(part, *oriented)
        return [self._wholes[oriented], self._parts[part], self._inside[behind]]

    def _oriented(self, quarters: int, mirror: bool) -> torch.Tensor:
        return torch.rot90(self._images.flip(2) if mirror else self._images, -quarters, dims=(1, 2))

    def _drawn(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Conjugate spectra of every picture as it would look as a part, brought to length 1."""
        spectra, grid = [], part.grid
        for at in range(0, len(self._images), _FEW):
            seen = functional.grid_sample(self._images[None, at : at + _FEW], grid, align_corners=False)[0]
            length = seen.square().sum((1, 2), keepdim=True).clamp(min=1e-6).sqrt()
            spectra.append(torch.fft.rfft2(seen / length).conj().resolve_conj())
        spectrum = torch.cat(spectra)
        large = _large(spectrum)
        return spectrum, large / _length(large).clamp(min=1e-6)[:, None]

    def _behind(self, part: Part, quarters: int, mirror: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """One over the length of what every whole shows behind a part at each shift, (n, 32, 32) or (n, 1, 1).

        A turned part leaves out corners alone: they hold as much of the whole as their area is, near enough.
        """
        covered = (part.grid.abs() <= 1).all(dim=-1).float()[0]
        if part.window == (1.0, 1.0):
            inside = (self._images.square().sum((1, 2), keepdim=True) * covered.mean()).clamp(min=1e-6).rsqrt()
        else:
            window, images = torch.fft.rfft2(covered).conj().resolve_conj(), self._oriented(quarters, mirror)
            if (quarters, mirror) not in self._energies:
                self._energies[quarters, mirror] = torch.fft.rfft2(images.square())
            energy, inside = self._energies[quarters, mirror], torch.empty_like(images)
            for at in range(0, len(images), _FEW):
                seen = torch.fft.irfft2(energy[at : at + _FEW] * window, s=(COARSE, COARSE))
                torch.rsqrt(seen.clamp_(min=1e-6), out=inside[at : at + _FEW])
        share = _length(self._wholes[quarters, mirror][1]) / self._images.flatten(1).norm(dim=1).clamp(min=1e-3)
        return inside, inside[:, ::_STEP, ::_STEP].flatten(1) / share.clamp(min=1e-3)[:, None]


def _large(spectrum: torch.Tensor) -> torch.Tensor:
    """The waves of large structure, (n, 66), of spectra (n, 32, 17)."""
    return torch.cat([spectrum[:, : _LOW + 1, : _LOW + 1], spectrum[:, -_LOW:, : _LOW + 1]], dim=1).flatten(1)


def _length(large: torch.Tensor) -> torch.Tensor:
    """Length of the pictures that large waves make, (n,), by Parseval."""
    return (large.abs().square() @ _twice().flatten()).sqrt() / COARSE


def _twice() -> torch.Tensor:
    """How often each wave is there, (11, 6): half of a real picture's spectrum is left out."""
    return torch.tensor([1.0] + [2.0] * _LOW).expand(2 * _LOW + 1, -1)


def _waves() -> torch.Tensor:
    """What each large wave, real and imaginary part, gives at each shift: (132, 256)."""
    down = torch.cat([torch.arange(_LOW + 1), torch.arange(-_LOW, 0)])[:, None, None, None]
    right, shift = torch.arange(_LOW + 1)[:, None, None], torch.arange(0, COARSE, _STEP)
    phase = (down * shift[:, None] + right * shift) * (2 * torch.pi / COARSE)
    both = torch.stack([phase.cos(), -phase.sin()], dim=2) * _twice()[:, :, None, None, None] / COARSE**2
    return both.flatten(3).flatten(0, 2)


def _maps(hypothesis: Hypothesis, place: NDArray[np.intp]) -> NDArray[np.float64]:
    """Maps (m, 2, 3) for parts found at flat positions; the frame is a torus, so the shift that shows most is meant."""
    share = np.array(hypothesis.window)
    shift = np.stack([place % COARSE, place // COARSE], axis=1).astype(np.float64)
    shift = np.where(shift > COARSE * (1 - share / 2), shift - COARSE, shift) * 2 / COARSE
    to_part = np.zeros((len(place), 3, 3))
    to_part[:, [0, 1], [0, 1]] = 1 / share
    to_part[:, :2, 2] = (1 - shift) / share - 1
    to_part[:, 2, 2] = 1
    turned, oriented = np.eye(3), np.eye(3)
    turned[:2, :2] = _turned(hypothesis.part.turn)
    oriented[:2, :2] = _turned(90 * hypothesis.quarters) @ np.diag([-1.0 if hypothesis.mirror else 1.0, 1.0])
    found = turned @ to_part @ oriented
    return np.asarray(np.linalg.inv(found) if hypothesis.of_first else found, dtype=np.float64)[:, :2]


def places_under(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Where the pixels of a frame lie under affine maps (m, 2, 3): (m, side, side, 2), as `grid_sample` takes it."""
    middle = (torch.arange(side) + 0.5) * 2 / side - 1
    x, y = middle[None, :].expand(side, side).flatten(), middle[:, None].expand(side, side).flatten()
    ones = torch.stack([x, y, torch.ones_like(x)])
    return (maps.reshape(-1, 3) @ ones).view(-1, 2, side, side).permute(0, 2, 3, 1)


def refined(
    first: torch.Tensor, second: torch.Tensor, maps: torch.Tensor, weights: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
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
    maps : Tensor of shape (m, 2, 3)
    fits : Tensor of shape (m,)
        Correlation in [-1, 1] of the pictures before the last step.

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
    fits = torch.zeros(n)
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
        fits = products[:, 6, 7] / (products[:, 6, 6] * products[:, 7, 7]).sqrt().clamp(min=1e-6)
        gain = (products[:, 7, 7].sqrt() / products[:, 6, 6].sqrt().clamp(min=1e-6))[:, None]
        step = torch.linalg.solve(normal, gain * products[:, :6, 6] - products[:, :6, 7])
        maps = maps + step.view(-1, 2, 3).clamp(-0.25, 0.25)
    return maps, fits


def _centred(values: torch.Tensor, seen: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    return (values - (values * seen).sum(dim=1, keepdim=True) / total) * seen
