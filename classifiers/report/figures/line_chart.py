"""Lines over numbers as a PNG picture: loss curves, accuracy under attack."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    x, y : sequence of float
    band : sequence of (float, float), optional
        Low and high end of an interval at each point.
    """

    x: Sequence[float]
    y: Sequence[float]
    band: Sequence[tuple[float, float]] | None = None


def line_chart(
    lines: Mapping[str, Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    share: bool = False,
    ticks: Sequence[tuple[float, str]] | None = None,
) -> NDArray[np.uint8]:
    """Draw lines with a legend.

    Parameters
    ----------
    lines : mapping of str to Line
        By name.
    title, x_label, y_label : str
    log : bool
        Logarithmic y axis.
    share : bool
        The y axis runs from 0 to 1 and is marked in per cent.
    ticks : sequence of (float, str), optional
        Places and words on the x axis.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter
    from PIL import Image

    figure = Figure(figsize=(6.6, 4.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, line), style in zip(lines.items(), _styles(len(lines)), strict=True):
        marker = "o" if len(line.x) < 20 else ""
        (drawn,) = axes.plot(line.x, line.y, style, label=name, linewidth=1.8, marker=marker, markersize=4)
        if line.band is not None:
            low, high = zip(*line.band, strict=True)
            axes.fill_between(line.x, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    if log:
        axes.set_yscale("log")
        values = np.concatenate([np.asarray(line.y, dtype=float) for line in lines.values()])
        usual = np.percentile(values[values > 0], 2) if (values > 0).any() else 1.0
        axes.set_ylim(bottom=usual / 2)  # a few tiny values at the start would take half of the picture
    if share:
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if ticks is not None:
        axes.set_xticks([place for place, _ in ticks], [word for _, word in ticks])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def _styles(count: int) -> list[str]:
    """Solid, dashed, dotted in turn: told apart without colour."""
    return [("-", "--", ":", "-.")[i % 4] for i in range(count)]
