"""Charts as inline SVG. They follow the page's theme: colours are CSS classes, text inherits the page's font.

Every function returns markup that is safe to put into a page; texts that come from outside are escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from classifiers.formatting import interval, percent, printable
from classifiers.validation.significance import wilson

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 46
_CELL = (12.0, 136.0)  # the left and right end of a scale in a table cell, pixels


@dataclass(frozen=True)
class Scale:
    """From numbers to pixels.

    Attributes
    ----------
    low, high : float
        The numbers at the two ends.
    start, end : float
        The pixels at the two ends.
    log : bool
        Equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a number, held inside the two ends."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = math.log(value) if self.log else value
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + (self.end - self.start) * min(max(share, 0.0), 1.0), 1)


def share_domain(values: Sequence[float]) -> tuple[float, float]:
    """The tenths of [0, 1] between which all the shares lie."""
    low = math.floor(min(values, default=0.0) * 10 + 1e-9) / 10
    high = math.ceil(max(values, default=1.0) * 10 - 1e-9) / 10
    return (low, high) if high > low else (max(low - 0.1, 0.0), min(high + 0.1, 1.0))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from low to high: multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(most - 1, 1)
    if raw <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def whisker(value: float, bounds: Sequence[float], domain: tuple[float, float], kind: str = "") -> Markup:
    """A dot for a share and a line for its interval, small enough for a table cell.

    Parameters
    ----------
    value : float
        In [0, 1].
    bounds : sequence of two floats
    domain : tuple of two floats
        The shares at the left and the right edge, the same for the whole column.
    kind : str
        `best` or `reference`, or nothing.
    """
    x = Scale(*domain, *_CELL)
    if value < domain[0]:  # a reference far below the heads
        return Markup(
            '<svg class="whisker {}" viewBox="0 0 150 20" width="150" height="20" role="img" aria-label="{}">'
            '<path class="off" d="M4 10L11 5.5V14.5Z"/></svg>'
        ).format(kind, f"{percent(value)} %, left of the scale")
    grid = Markup("").join(Markup('<path class="grid" d="M{0} 0V20"/>').format(x(t)) for t in ticks(*domain, 5))
    return Markup(
        '<svg class="whisker {}" viewBox="0 0 150 20" width="150" height="20" role="img" aria-label="{}">{}'
        '<path class="ci" d="M{} 10H{}"/><circle cx="{}" cy="10" r="4"/></svg>'
    ).format(
        kind, f"{percent(value)} %, interval {interval(list(bounds))} %", grid, x(bounds[0]), x(bounds[1]), x(value)
    )


def ruler(domain: tuple[float, float]) -> Markup:
    """The axis that belongs above a column of whiskers."""
    x = Scale(*domain, *_CELL)
    marks = Markup("").join(
        Markup('<text x="{}" y="11" text-anchor="{}">{}</text>').format(x(t), "middle", f"{100 * t:.0f}")
        for t in ticks(*domain, 5)
    )
    return Markup('<svg class="ruler" viewBox="0 0 150 14" width="150" height="14" aria-hidden="true">{}</svg>').format(
        marks
    )


def reliability(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """How often the head is right where it says that it is so sure: one dot a bin, the diagonal is perfect.

    Parameters
    ----------
    bins : sequence of mapping
        `low`, `high`, `count`, `confidence` and `accuracy` (shares, None in an empty bin).
    """
    x, y = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, HEIGHT - BOTTOM, TOP)
    full = [b for b in bins if b["count"]]
    largest = max((b["count"] for b in full), default=1)
    marks = [Markup('<path class="diagonal" d="M{} {}L{} {}"/>').format(x(0), y(0), x(1), y(1))]
    for b in full:
        bounds = wilson(round(b["accuracy"] * b["count"]), b["count"])
        text = f"confidence {percent(b['confidence'])} %: right {percent(b['accuracy'])} % of {b['count']}"
        marks.append(
            Markup(
                '<g class="point"><title>{}</title><path class="ci" d="M{} {}V{}"/><circle cx="{}" cy="{}" r="{}"/></g>'
            ).format(
                text, x(b["confidence"]), y(bounds[0]), y(bounds[1]), x(b["confidence"]), y(b["accuracy"]),
                round(3 + 5 * math.sqrt(b["count"] / largest), 1),
            )
        )  # fmt: skip
    label = "Reliability: " + "; ".join(
        f"{percent(b['confidence'], 0)} % sure, right {percent(b['accuracy'], 0)} % of {b['count']}" for b in full
    )
    return _chart(
        label, marks, x, y, "confidence of the answer, %", "right, %", [0, 0.2, 0.4, 0.6, 0.8, 1], share_x=True
    )


def curve(points: Sequence[Mapping[str, Any]], x_key: str, x_label: str, y_label: str, log: bool = False) -> Markup:
    """Shares over a number: a line through dots with their intervals.

    Parameters
    ----------
    points : sequence of mapping
        `x_key`, `accuracy` and, where known, `accuracy_ci`.
    x_key, x_label, y_label : str
    log : bool
        The numbers are drawn on a logarithmic axis.
    """
    points = sorted(points, key=lambda p: p[x_key])
    xs = [float(p[x_key]) for p in points]
    log = log and xs[0] > 0
    bounds = [p.get("accuracy_ci") or (p["accuracy"], p["accuracy"]) for p in points]
    low, high = share_domain([v for b in bounds for v in b] + [p["accuracy"] for p in points])
    x = Scale(xs[0], xs[-1], LEFT + 12, WIDTH - RIGHT - 12, log)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    dots = [(x(at), y(p["accuracy"])) for at, p in zip(xs, points, strict=True)]
    marks = []
    if any(b[0] < b[1] for b in bounds):
        upper = [f"{x(at)} {y(b[1])}" for at, b in zip(xs, bounds, strict=True)]
        lower = [f"{x(at)} {y(b[0])}" for at, b in zip(xs, bounds, strict=True)]
        marks.append(Markup('<path class="band" d="M{}Z"/>').format("L".join(upper + lower[::-1])))
    marks.append(Markup('<path class="line" d="M{}"/>').format("L".join(f"{a} {b}" for a, b in dots)))
    texts = [f"{_plain(at)}: {percent(p['accuracy'])} %" for at, p in zip(xs, points, strict=True)]
    texts = [text + (f" ({interval(list(b))})" if b[0] < b[1] else "") for text, b in zip(texts, bounds, strict=True)]
    for (a, b), text in zip(dots, texts, strict=True):
        marks.append(Markup('<g class="point"><title>{}</title><circle cx="{}" cy="{}" r="4"/></g>').format(text, a, b))
    return _chart(
        f"{y_label} over {x_label}: {'; '.join(texts)}",
        marks,
        x,
        y,
        x_label,
        y_label,
        _log_ticks(xs) if log else ticks(xs[0], xs[-1], 5),
    )


def steps(points: Sequence[tuple[str, float, Sequence[float] | None]], y_label: str) -> Markup:
    """Shares over names in a given order (layers from early to late): dots with intervals, joined by a line.

    Parameters
    ----------
    points : sequence of (name, share, interval or None)
    y_label : str
    """
    bounds = [b or (value, value) for _, value, b in points]
    low, high = share_domain([v for b in bounds for v in b] + [value for _, value, _ in points])
    x = Scale(-0.5, len(points) - 0.5, LEFT, WIDTH - RIGHT)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    marks = [
        Markup('<path class="line faint" d="M{}"/>').format(
            "L".join(f"{x(i)} {y(value)}" for i, (_, value, _) in enumerate(points))
        )
    ]
    texts = []
    for i, ((name, value, _), b) in enumerate(zip(points, bounds, strict=True)):
        texts.append(f"{printable(name)}: {percent(value)} %" + (f" ({interval(list(b))})" if b[0] < b[1] else ""))
        marks.append(
            Markup(
                '<g class="point"><title>{}</title><path class="ci" d="M{} {}V{}"/>'
                '<circle cx="{}" cy="{}" r="4.5"/></g>'
            ).format(texts[-1], x(i), y(b[0]), y(b[1]), x(i), y(value))
        )
        short = name if len(name) * len(points) < 60 else name[: max(60 // len(points) - 1, 1)] + "…"
        marks.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x(i), HEIGHT - BOTTOM + 17, printable(short)
            )
        )
    return _chart(f"{y_label}: {'; '.join(texts)}", marks, x, y, "", y_label, [])


def bar(value: float, largest: float) -> Markup:
    """A horizontal bar for a table cell; its number stands beside it."""
    width = 0.0 if largest <= 0 else round(max(100 * value / largest, 0.5 if value > 0 else 0.0), 1)
    return Markup('<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
                  '<rect width="{}" height="10"/></svg>').format(width)  # fmt: skip


def _chart(
    label: str,
    marks: Sequence[Markup],
    x: Scale,
    y: Scale,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[float],
    share_x: bool = False,
) -> Markup:
    """A frame with grid, ticks and titles around the marks; the y axis is a share in per cent."""
    parts = []
    for t in ticks(y.low, y.high, 6):
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, y(t), WIDTH - RIGHT))
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
                LEFT - 8, y(t) + 4, _plain(100 * t)
            )
        )
    for t in x_ticks:
        parts.append(Markup('<path class="grid" d="M{} {}V{}"/>').format(x(t), TOP, HEIGHT - BOTTOM))
        parts.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x(t), HEIGHT - BOTTOM + 17, f"{100 * t:.0f}" if share_x else _plain(t)
            )
        )
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT))
    parts.append(
        Markup('<text class="title" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label
        )
    )
    parts.append(
        Markup('<text class="title" transform="translate(13 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            (TOP + HEIGHT - BOTTOM) / 2, y_label
        )
    )
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(parts), Markup("").join(marks)
    )


def _log_ticks(xs: Sequence[float]) -> list[float]:
    """Powers of ten inside the range where there are at least two, else the numbers themselves, not too many."""
    powers = [10.0**e for e in range(math.ceil(math.log10(xs[0]) - 1e-9), math.floor(math.log10(xs[-1]) + 1e-9) + 1)]
    if len(powers) >= 2:
        return powers[:: -(-len(powers) // 7)]
    step = -(-len(xs) // 6)
    return list(xs[::-1][::step])[::-1]


def _plain(value: float) -> str:
    """A tick's number, without superfluous zeros."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.10g}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
