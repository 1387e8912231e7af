"""The 2-D map of a feature set: each image a mark, its class told by shape and colour together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 760, 560, 16
COLOURS = 8
SHAPES = (
    "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0-4.5 0Z",  # circle
    "M-4-4H4V4H-4Z",  # square
    "M0-5.4L5 3.6H-5Z",  # triangle
    "M0-5.6L5.6 0L0 5.6L-5.6 0Z",  # diamond
    "M-1.8-5H1.8V-1.8H5V1.8H1.8V5H-1.8V1.8H-5V-1.8H-1.8Z",  # plus
    "M0 5.4L5-3.6H-5Z",  # triangle on its tip
    "M-5.2-2.7L-2.7-5.2L0-2.5L2.7-5.2L5.2-2.7L2.5 0L5.2 2.7L2.7 5.2L0 2.5L-2.7 5.2L-5.2 2.7L-2.5 0Z",  # cross
    "M-5 0L-2.5-4.4H2.5L5 0L2.5 4.4H-2.5Z",  # hexagon
)


def sign(c: int) -> tuple[int, int]:
    """Shape and colour of a class; the first 64 classes all differ, neighbours differ in both."""
    return (c + c // COLOURS) % len(SHAPES), c % COLOURS


def symbols() -> Markup:
    """The shapes, defined once in a page; `mark` and `svg` refer to them."""
    shapes = Markup("").join(Markup('<path id="shape{}" d="{}"/>').format(i, d) for i, d in enumerate(SHAPES))
    return Markup('<svg width="0" height="0" aria-hidden="true" class="defs"><defs>{}</defs></svg>').format(shapes)


def mark(c: int) -> Markup:
    """One class's mark, for a legend."""
    shape, colour = sign(c)
    return Markup(
        '<svg class="mark" viewBox="-8 -8 16 16" width="16" height="16" aria-hidden="true">'
        '<use href="#shape{}" class="k{}"/></svg>'
    ).format(shape, colour)


def svg(places: Mapping[str, Any], label: str) -> Markup:
    """The map as a picture; marks of wrongly classified images have a ring around them.

    Parameters
    ----------
    places : mapping
        `map` of the report's data: `x`, `y`, `true`, `predicted`, one entry an image.
    label : str
        What a screen reader says.

    Returns
    -------
    Markup
        Every mark carries `data-i`, its position in the lists, and `data-c`, its class.
    """
    xs, ys = _fit(places["x"], places["y"])
    parts = []
    for i, (x, y, true, predicted) in enumerate(zip(xs, ys, places["true"], places["predicted"], strict=True)):
        shape, colour = sign(true)
        if predicted is not None and predicted != true:
            parts.append(Markup('<circle class="ring" data-c="{}" cx="{}" cy="{}" r="8"/>').format(true, x, y))
        parts.append(
            Markup('<use href="#shape{}" class="k{}" data-i="{}" data-c="{}" x="{}" y="{}"/>').format(
                shape, colour, i, true, x, y
            )
        )
    return Markup('<svg class="map" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(parts)
    )


def _fit(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """Coordinates -> pixels; both axes at the same scale, for only distances mean something."""
    left, right, low, high = min(x), max(x), min(y), max(y)
    scale = min((WIDTH - 2 * EDGE) / ((right - left) or 1.0), (HEIGHT - 2 * EDGE) / ((high - low) or 1.0))
    across, down = (left + right) / 2, (low + high) / 2
    return (
        [round(WIDTH / 2 + (value - across) * scale, 1) for value in x],
        [round(HEIGHT / 2 - (value - down) * scale, 1) for value in y],
    )
