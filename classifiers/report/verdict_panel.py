"""The verdict as the renderings show it: what is said apart from what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from classifiers.formatting import capital
from classifiers.report.verdict import NEXT, random_weights_note, verdict


@dataclass(frozen=True)
class VerdictPanel:
    """The sentences of a verdict by what they are for.

    Attributes
    ----------
    headline : str
    sentences : list of str
        What else is said, without `random_weights`.
    steps : list of str
        What to do next, each a sentence with a capital letter.
    random_weights : str or None
        What has to be said loudly where the weights are not pretrained.
    """

    headline: str
    sentences: list[str]
    steps: list[str]
    random_weights: str | None

    @classmethod
    def of(cls, full: Mapping[str, Any]) -> Self:
        """The verdict of a report's data as `report_data.filled` gives it; reached anew where it holds none."""
        headline, *said = list(full["verdict"]) or verdict(full)
        note = random_weights_note(full)
        return cls(
            headline,
            [sentence for sentence in said if sentence != note and not sentence.startswith(NEXT)],
            [capital(sentence.removeprefix(NEXT)) for sentence in said if sentence.startswith(NEXT)],
            note,
        )
