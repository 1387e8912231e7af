"""A confusion matrix that can be read: a list of the largest confusions, a picture with confused classes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from classifiers.formatting import percent, printable

LABELLED = 60
"""Up to so many classes every row and column has its label; above, only when enlarged."""
GROUPED = 12
"""From more classes than this, classes that are confused stand next to each other."""
DRAWN = 400
"""More classes than this are not drawn; the list of the largest confusions stays."""


@dataclass(frozen=True)
class ConfusedPair:
    """A class and the other one that its images were taken for.

    Attributes
    ----------
    true, predicted : int
        Classes.
    count : int
        Images of the one class that were taken for the other.
    support : int
        Images of the true class.
    """

    true: int
    predicted: int
    count: int
    support: int

    @property
    def share(self) -> float:
        """Of the true class, in (0, 1]."""
        return self.count / self.support


@dataclass(frozen=True)
class ConfusedPairRow:
    """Two classes that were confused, as it is shown."""

    true: str
    answer: str
    count: int
    share: str


class Confusion:
    """How often each class was taken for each other one.

    Parameters
    ----------
    pairs : mapping of (true, predicted) to int
        Counts; pairs that are absent never happened.
    classes : sequence of k str
    """

    def __init__(self, pairs: Mapping[tuple[int, int], int], classes: Sequence[str]) -> None:
        self.pairs = dict(pairs)
        self.classes = [printable(name) for name in classes]
        self.support = np.zeros(len(classes), dtype=np.int64)
        for (true, _), count in self.pairs.items():
            self.support[true] += count

    @classmethod
    def of(cls, run: Mapping[str, Any], classes: Sequence[str]) -> Confusion:
        """The matrix of a run of the report's data, from its predictions where it has too many classes for a matrix."""
        if run["confusion"]:
            matrix = np.asarray(run["confusion"], dtype=np.int64)
            true, predicted = (side.tolist() for side in np.nonzero(matrix))
            counts = [int(matrix[a, b]) for a, b in zip(true, predicted, strict=True)]
        else:
            both = [(run["predictions"] or {}).get(side, []) for side in ("true", "predicted")]
            found, tally = np.unique(np.asarray(both, dtype=np.int64).reshape(2, -1), axis=1, return_counts=True)
            (true, predicted), counts = found.tolist(), tally.tolist()
        return cls(dict(zip(zip(true, predicted, strict=True), counts, strict=True)), classes)

    def largest(self, most: int = 12) -> list[ConfusedPair]:
        """The confusions of most images, then of the largest share of their class."""
        found = [ConfusedPair(t, p, n, int(self.support[t])) for (t, p), n in self.pairs.items() if t != p]
        return sorted(found, key=lambda m: (-m.count, m.support, m.true, m.predicted))[:most]

    def rows(self, most: int = 12) -> list[ConfusedPairRow]:
        """The largest confusions as they are shown."""
        return [
            ConfusedPairRow(self.classes[pair.true], self.classes[pair.predicted], pair.count, percent(pair.share))
            for pair in self.largest(most)
        ]

    def order(self) -> NDArray[np.intp]:
        """The classes' order in the picture: as they are, or grouped by average linkage where there are many."""
        k = len(self.classes)
        mixed = [(t, p) for t, p in self.pairs if t != p]
        if k <= GROUPED or not mixed:
            return np.arange(k)
        from scipy.cluster.hierarchy import leaves_list, linkage
        from scipy.spatial.distance import squareform

        likeness = np.zeros((k, k))
        for t, p in mixed:
            likeness[t, p] += self.pairs[t, p] / self.support[t]
        distance = 1.0 - np.minimum(likeness + likeness.T, 1.0)
        np.fill_diagonal(distance, 0.0)
        return np.asarray(leaves_list(linkage(squareform(distance), "average", optimal_ordering=k <= 200)))

    def svg(self) -> Markup:
        """The picture: rows are true classes, columns answers, colour depth the share of the row."""
        k = len(self.classes)
        cell = 44 if k <= 8 else 28 if k <= 20 else 16 if k <= LABELLED else 8
        order = self.order()
        place = np.empty(k, dtype=np.intp)
        place[order] = np.arange(k)
        names = [name if len(name) <= 28 else name[:27] + "…" for name in self.classes]
        letters = 13 if cell >= 28 else 11 if cell >= 16 else 7
        margin = max(round(max(map(len, names), default=1) * letters * 0.6) + 14, 68)
        side = cell * k
        parts = [Markup('<rect class="ground" x="{0}" y="{0}" width="{1}" height="{1}"/>').format(margin, side)]
        step = 1 if k <= LABELLED else 10
        lines = "".join(
            f"M{margin} {margin + i * cell}h{side}M{margin + i * cell} {margin}v{side}" for i in range(0, k + 1, step)
        )
        parts.append(Markup('<path class="grid" d="{}"/>').format(lines))
        corner = Markup('<text class="corner" x="{}" y="{}" text-anchor="end">{}</text>')
        parts += [corner.format(margin - 8, margin - 24, "answer →"), corner.format(margin - 8, margin - 8, "true ↓")]
        for i, c in enumerate(order):
            at = margin + i * cell + cell / 2
            parts.append(
                Markup(
                    '<text class="label" x="{0}" y="{1}" text-anchor="end">{3}</text>'
                    '<text class="label" transform="translate({2} {0}) rotate(-90)">{3}</text>'
                ).format(margin - 6, round(at + letters * 0.35, 1), round(at + letters * 0.35, 1), names[c])
            )
        for (t, p), count in sorted(self.pairs.items()):
            parts.append(self._cell(t, p, count, margin + int(place[p]) * cell, margin + int(place[t]) * cell, cell))
        return Markup(
            '<svg class="confusion{}" viewBox="0 0 {} {}" style="--letters:{}px;max-width:{}px;min-width:{}px" '
            'role="img" aria-label="{}">{}</svg>'
        ).format(
            "" if k <= LABELLED else " many", margin + side + 4, margin + side + 4, letters,
            *((round(1.3 * (margin + side)), round(0.85 * (margin + side))) if k <= LABELLED else (1000, 600)),
            f"Confusion matrix of {k} classes; its largest entries off the diagonal are in the table beside it",
            Markup("").join(parts),
        )  # fmt: skip

    def _cell(self, t: int, p: int, count: int, x: int, y: int, cell: int) -> Markup:
        share = count / int(self.support[t])
        kind = "right" if t == p else "wrong"
        least = 0.15 if cell >= 16 else 0.45  # small cells must be seen at all
        text = f"true {self.classes[t]}, answer {self.classes[p]}: {count} of {self.support[t]} ({percent(share)} %)"
        drawn = Markup("")
        if cell >= 16:
            drawn = Markup('<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                "deep" if share > 0.75 else "middle" if share > 0.5 else "pale", x + cell / 2, y + cell * 0.68, count
            )
        return Markup(
            '<g><title>{}</title><rect class="{}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>{}</g>'
        ).format(text, kind, x, y, cell, cell, f"{least + (1 - least) * share:.2f}", drawn)
