"""The verdict as the renderings show it: what is said apart from what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from classifiers.formatting import capital
from classifiers.report.report_data import judged_by_copies
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
    shift : str or None
        What has to be said loudly where images are of another kind than those that train; None where copies that judge
        are graver, and a warning among others says it.
    """

    headline: str
    sentences: list[str]
    steps: list[str]
    random_weights: str | None
    shift: str | None

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
            shift_note(full),
        )


def shift_note(full: Mapping[str, Any]) -> str | None:
    """What stands at the top of a report about images of another kind, None where nothing does.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    """
    said = [warning["text"] for warning in full["warnings"] if warning["kind"] == "shift"]
    return " ".join(said) if said and not judged_by_copies(full) else None


def listed_warnings(full: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The warnings that do not stand at the top already.

    Parameters
    ----------
    full : mapping
        A report's data as `report_data.filled` gives it.
    """
    above = shift_note(full) is not None
    return [warning for warning in full["warnings"] if not (above and warning["kind"] == "shift")]
