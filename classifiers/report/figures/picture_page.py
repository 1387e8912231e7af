"""Pictures with words around them as one HTML page: everything inside, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from classifiers.formatting import printable
from classifiers.report.figures.page_templates import templates
from classifiers.report.figures.raster import png


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture and what it shows.

    Attributes
    ----------
    picture : ndarray of shape (h, w, 3), uint8
    caption : str
        Also what is read out in place of the picture.
    wide : bool
        In a row of its own.

    Examples
    --------
    >>> figure = Figure(np.zeros((2, 3, 3), dtype=np.uint8), "Darkness.")
    >>> figure.width, figure.height, figure.uri[:22]
    (3, 2, 'data:image/png;base64,')
    """

    picture: NDArray[np.uint8]
    caption: str
    wide: bool = False

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.picture.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.picture.shape[0])

    @property
    def uri(self) -> str:
        """The picture as a `data:` address, lossless."""
        return "data:image/png;base64," + base64.b64encode(png(self.picture)).decode("ascii")


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page.

    Attributes
    ----------
    heading, text : str
    figures : sequence of Figure
    table : (header, rows), optional
        Of texts.

    Examples
    --------
    >>> section = Section("Scores", table=(("class", "recall"), (("ant", "90 %"),)))
    >>> "90 %" in PicturePage("Insects", sections=[section]).html()
    True
    """

    heading: str
    text: str = ""
    figures: Sequence[Figure] = ()
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None


@dataclass(frozen=True, eq=False)
class PicturePage:
    """A page of sections.

    Attributes
    ----------
    title, lead : str
    sections : list of Section

    Examples
    --------
    >>> page = PicturePage("<Insects>", "What the network sees.").html()
    >>> "<Insects>" in page, "&lt;Insects&gt;" in page
    (False, True)
    """

    title: str
    lead: str = ""
    sections: list[Section] = field(default_factory=list)

    def html(self) -> str:
        """One HTML document; names and labels in it are only text."""
        return (
            templates()
            .get_template("activations.html")
            .render(title=printable(self.title), lead=self.lead, sections=self.sections)
        )
