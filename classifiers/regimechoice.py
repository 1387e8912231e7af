"""Which of the four regimes a data set is in, by the evidence in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from classifiers.advise import judge
from classifiers.evidence import gather
from classifiers.startingpoint import StartingPoint
from featstore.backbone import Backbone
from featstore.features import FeatureSet

Progress = Callable[[str, int, int, str], None]


def choose_regime(
    features: Sequence[FeatureSet], start: StartingPoint, backbone: Backbone, progress: Progress
) -> tuple[int, str]:
    """The regime, and a sentence that says why.

    Parameters
    ----------
    features : sequence of FeatureSet
        The images at every cached node of the network.
    start : StartingPoint
    backbone : Backbone
    """
    together = None if start.groups is None else start.groups[features[0].training()]
    advice = judge(gather(features, groups=together, progress=progress))
    return advice.regime, f"regime {advice.regime}: {advice.reasons[0]}"
