"""Two image sets that need no download: drawn textures, and scikit-learn's real handwritten digits.

Both are written as folders with one sub-folder a class, so that a demonstration runs the same route as real work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pattern = Callable[[NDArray[np.float64], NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


def _smooth(value: NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    """A soft threshold at 0: drawn edges without aliasing."""
    return 1.0 / (1.0 + np.exp(-np.clip(sharpness * value, -40, 40)))


def _stripes(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return _smooth(np.sin(u) - rng.uniform(-0.4, 0.4), 6)


def _checks(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return _smooth(np.sin(u) * np.sin(v), 14)


def _dots(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return _smooth(np.cos(u) + np.cos(v) - rng.uniform(0.6, 1.1), 8)


def _rings(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    x, y = rng.uniform(-4, 4, size=2)
    return _smooth(np.sin(np.hypot(u - x, v - y)), 6)


def _waves(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return _smooth(np.sin(u + rng.uniform(1.2, 2.2) * np.sin(0.8 * v)), 6)


def _bricks(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    row = np.floor(v / 2.2)
    along = (u / 2 + 1.6 * (row % 2)) % 3.2
    across = v % 2.2
    joint = rng.uniform(0.2, 0.35)
    return _smooth(np.minimum(along, across) - joint, 18)


def _clouds(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    total = np.zeros_like(u)
    for octave in range(5):
        for _ in range(3):
            angle, phase = rng.uniform(0, 2 * np.pi, size=2)
            total += np.sin(2**octave * 0.3 * (u * np.cos(angle) + v * np.sin(angle)) + phase) / 1.7**octave
    return _smooth(total, 1.2)


def _weave(u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    over = (np.floor(u / np.pi) + np.floor(v / np.pi)) % 2
    return np.where(over > 0, np.abs(np.sin(u)), np.abs(np.sin(v))) ** rng.uniform(0.5, 1.0)


TEXTURES: dict[str, Pattern] = {
    "bricks": _bricks,
    "checks": _checks,
    "clouds": _clouds,
    "dots": _dots,
    "rings": _rings,
    "stripes": _stripes,
    "waves": _waves,
    "weave": _weave,
}
"""Class name to pattern: rotated, scaled coordinates in radians -> brightness in [0, 1]."""


def draw_texture(name: str, rng: np.random.Generator, size: int = 160) -> NDArray[np.uint8]:
    """Draw one texture with random colours, scale, rotation, perspective, lighting and grain.

    Parameters
    ----------
    name : str
        A key of `TEXTURES`.
    size : int
        Side in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
    """
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    depth = 1 + rng.uniform(-0.25, 0.25) * x + rng.uniform(-0.25, 0.25) * y
    angle = rng.uniform(0, 2 * np.pi)
    scale = np.exp(rng.uniform(np.log(8), np.log(26)))
    u = scale * (x * np.cos(angle) - y * np.sin(angle)) / depth + rng.uniform(0, 6)
    v = scale * (x * np.sin(angle) + y * np.cos(angle)) / depth + rng.uniform(0, 6)
    brightness = TEXTURES[name](u, v, rng)[..., None]

    dark, light = rng.uniform(0, 0.55, size=3), rng.uniform(0.45, 1, size=3)
    if rng.random() < 0.5:
        dark, light = light, dark
    picture = dark + (light - dark) * brightness
    sun = rng.uniform(0, 2 * np.pi)
    lighting = 1 + rng.uniform(0, 0.45) * (x * np.cos(sun) + y * np.sin(sun))
    picture = picture * lighting[..., None] + rng.normal(0, rng.uniform(0.01, 0.06), size=picture.shape)
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, dtype=np.uint8)


def write_textures(folder: Path, *, per_class: int = 40, seed: int = 0) -> Path:
    """Write the drawn textures as JPEG files, `folder/<class>/<number>.jpg`.

    Parameters
    ----------
    folder : Path
        Made where missing.
    per_class : int
        Images a class; there are eight classes.
    seed : int
        The same seed draws the same pictures.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = write_textures(Path(folder), per_class=1)
    ...     len(list(images.glob("*/*")))
    8
    """
    for code, name in enumerate(TEXTURES):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            picture = draw_texture(name, np.random.default_rng([seed, code, number]))
            Image.fromarray(picture).save(place / f"{name}_{number:03d}.jpg", quality=88)
    return folder


def write_digits(folder: Path, *, per_class: int | None = None) -> Path:
    """Write scikit-learn's handwritten digits (1797 real scans of 8x8 pixels) as PNG files of 64x64 pixels.

    Parameters
    ----------
    folder : Path
        Made where missing; one sub-folder a digit.
    per_class : int, optional
        Only the first so many of each digit.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = write_digits(Path(folder), per_class=1)
    ...     len(list(images.glob("*/*")))
    10
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    for digit in range(10):
        place = folder / f"digit-{digit}"
        place.mkdir(parents=True, exist_ok=True)
        for number in np.flatnonzero(digits.target == digit)[:per_class]:
            small = Image.fromarray(np.minimum(digits.images[number] * 16, 255).astype(np.uint8))
            small.resize((64, 64), Image.Resampling.BICUBIC).save(place / f"scan_{number:04d}.png")
    return folder
