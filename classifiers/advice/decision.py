"""Advice: is the cache enough? One verdict of five, the gain to expect, and every number behind it.

The four regimes are those of the transfer-learning literature (small or large, similar to ImageNet or different;
Yosinski et al., "How transferable are features in deep neural networks?", 2014). Where the evidence puts a data set is
measured; what reopening a network brings is an expectation from published and own comparisons of frozen and fine-tuned
networks (Kornblith, Shlens, Le: "Do Better ImageNet Models Transfer Better?", 2019), so its interval is wide. A pilot
narrows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from scipy.special import ndtri

from classifiers.advice.evidence import Evidence
from classifiers.advice.expected_gain import LEVEL, WORTH, ExpectedGain, expected_gain
from classifiers.advice.reasons import IMAGES_FIRST, LABEL_FIRST, reasons, situation
from classifiers.formatting import listing, printable

VERDICTS = {
    "cache-is-enough": "The cache is enough: keep the frozen features.",
    "earlier-node": "Use an earlier node: the last one is too specific to ImageNet.",
    "reopen-top": "Reopen the top of the network.",
    "reopen-all": "Reopen the whole network, carefully, from the pretrained weights.",
    "more-data": "More or cleaner data first.",
}

LARGE_TRAIN, LARGE_PER_CLASS = 500, 25
"""From here on a training part counts as large: images, and images a class (median)."""
DIFFERENT = 0.5
"""Distance from ImageNet from which images count as different."""
DATA_WORTH = 0.03
"""Accuracy that twice the data must be expected to bring before collecting it is the advice."""

MEASURED = 0.95
"""Level of the interval of a node's lead and of a learning curve."""

NOISY = 0.05
"""Share of wrong labels that is shown to be there (the low end of its interval) before labels come first."""


@dataclasses.dataclass(frozen=True)
class Advice:
    """A verdict and what it rests on.

    Attributes
    ----------
    verdict : one of `VERDICTS`
    regime : {1, 2, 3, 4}
        1 small and similar, 2 small and different, 3 large and similar, 4 large and different.
    expected_gain, expected_gain_ci : float, tuple of float
        Accuracy of the action advised over the linear head on `base_node`; where the cache is enough, of reopening the
        network all the same. Shares in [-1, 1]. What a pilot measured is in it.
    expected_gain_level : float
        Of the interval: 0.9 where the network is concerned, 0.95 of an earlier node's lead and of more images.
    difference : float in [0, 1]
        Distance from ImageNet, see `domain_distance`: 0 as near as pets and insects, 1 as far as microscopy.
    gains : dict
        Expected gain of each action, without a pilot: "reopen" and "earlier-node" over the linear head on the last
        node, "more-data" (twice the images) over that on the chosen node.
    reopening : ExpectedGain
        What reopening the network is expected to bring, whatever is advised and without a pilot.
    reasons : tuple of str
        Sentences, the most important first.
    pilot : dict or None
        What a short fine-tune showed, where one was run, see `Pilot`.
    after_pilot : ExpectedGain or None
        What reopening is expected to bring with that; None where the pilot tells nothing.
    cost : dict or None
        What the action costs, see `cost_of_advice`; None where the network could not be built.
    next : str
        The command that does what was advised.
    about : mapping of str to str
        dataset, backbone and weights that the advice is about.
    classes : tuple of str
        Of that data set.

    Examples
    --------
    >>> import numpy as np
    >>> from featstore.features import FeatureSet
    >>> from featstore.fingerprint import Fingerprint
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 30)
    >>> X = rng.normal(y[:, None], 0.5, (60, 8)).astype(np.float32)
    >>> ids, digests = tuple(f"{i}.jpg" for i in range(60)), rng.integers(0, 256, (60, 32), dtype=np.uint8)
    >>> network = Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "random (seed 0)")
    >>> splits, paths = np.full(60, ""), tuple(name.encode() for name in ids)
    >>> features = FeatureSet(X, y, ids, ("ant", "bee"), splits, digests, network, "insects", b"", paths)
    >>> from classifiers.advice.evidence import gather
    >>> advice = judge(gather([features]))
    >>> advice.regime, advice.verdict, VERDICTS[advice.verdict]
    (1, 'cache-is-enough', 'The cache is enough: keep the frozen features.')
    """

    verdict: str
    regime: int
    expected_gain: float
    expected_gain_ci: tuple[float, float]
    expected_gain_level: float
    difference: float
    gains: dict[str, float]
    reasons: tuple[str, ...]
    evidence: Evidence
    reopening: ExpectedGain
    pilot: dict[str, Any] | None = None
    after_pilot: ExpectedGain | None = None
    cost: dict[str, Any] | None = None
    next: str = ""
    about: Mapping[str, str] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def situation(self) -> str:
        """How large the training part is and how far from ImageNet: what the regime follows from, as a sentence."""
        return situation(self.evidence, self.regime)

    @property
    def base_node(self) -> str:
        """The cached node whose linear head the expected gain is measured against."""
        nodes = self.evidence.nodes
        return nodes[self.evidence.best if self.verdict == "more-data" else self.evidence.last].node

    @property
    def first(self) -> str:
        """What is to be done before the next command, as a sentence; empty where nothing is."""
        shift = self.evidence.shift
        said = [LABEL_FIRST] if shift is not None and shift.shifted else []
        if self.stops:
            said.append(IMAGES_FIRST.format(listing([printable(name) for name in self.evidence.untrained], 3)))
        return " ".join(said)

    @property
    def stops(self) -> bool:
        """Whether the next command stops with the images as they are: a fine-tune, and a class that nothing trains."""
        return self.verdict.startswith("reopen") and bool(self.evidence.untrained)

    def to_json(self) -> dict[str, Any]:
        """The document that `advise --json` prints."""
        return {
            "format": 1,
            **self.about,
            "verdict": self.verdict,
            "text": VERDICTS[self.verdict],
            "regime": self.regime,
            "expected_gain": round(self.expected_gain, 4),
            "expected_gain_ci": [round(bound, 4) for bound in self.expected_gain_ci],
            "expected_gain_level": self.expected_gain_level,
            "base_node": self.base_node,
            "reopening": self.reopening.to_json(),
            "reasons": list(self.reasons),
            "evidence": {**self.evidence.to_json(), "difference": self.difference, "gains": self.gains},
            "pilot": self.pilot,
            "after_pilot": self.after_pilot and self.after_pilot.to_json(),
            "cost": self.cost,
            "first": self.first,
            "next": self.next,
        }


class _Gain(NamedTuple):
    """Of an action: a share, its interval, and the level of that."""

    share: float
    ci: tuple[float, float]
    level: float


def judge(evidence: Evidence) -> Advice:
    """Reach the verdict.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    Advice
    """
    distance = evidence.distance
    large = evidence.train >= LARGE_TRAIN and evidence.per_class_median >= LARGE_PER_CLASS
    regime = 1 + int(distance >= DIFFERENT) + 2 * int(large)
    reopening = reopening_gain(evidence)
    more = max(evidence.doubled[0] - evidence.linear_accuracy, 0.0) if evidence.doubled else 0.0
    verdict = _verdict(evidence, regime, reopening, more, cautious=True)
    return _advice(
        evidence, verdict, regime, reopening,
        {"earlier-node": evidence.lead, "reopen": reopening.gain, "more-data": more},
        _gain(evidence, verdict, more, _Gain(reopening.gain, reopening.ci, LEVEL)),
    )  # fmt: skip


def _advice(
    evidence: Evidence,
    verdict: str,
    regime: int,
    reopening: ExpectedGain,
    gains: dict[str, float],
    gain: _Gain,
    pilot: Mapping[str, Any] | None = None,
    after: ExpectedGain | None = None,
) -> Advice:
    """An advice with the sentences that its state makes."""
    said = reasons(
        evidence, verdict=verdict, regime=regime, gains=gains, reopening=reopening, pilot=pilot, after=after
    )  # fmt: skip
    return Advice(
        verdict=verdict,
        regime=regime,
        expected_gain=gain.share,
        expected_gain_ci=gain.ci,
        expected_gain_level=gain.level,
        difference=evidence.distance,
        gains=gains,
        reasons=said,
        evidence=evidence,
        reopening=reopening,
        pilot=None if pilot is None else dict(pilot),
        after_pilot=after,
    )


def reopening_gain(evidence: Evidence) -> ExpectedGain:
    """What reopening is expected to bring, on images like those of the test part."""
    elsewhere, error = evidence.elsewhere, 1.0 - evidence.last_accuracy
    return expected_gain(
        error if elsewhere is None else max(error, elsewhere.there),
        train=evidence.train,
        per_class=evidence.per_class_median,
        distance=evidence.distance,
        images=evidence.test or max(1, evidence.train // 5),
        lead=evidence.lead,
        elsewhere=elsewhere is not None,
    )


def _noisy(evidence: Evidence) -> bool:
    """Whether wrong labels are shown to be many."""
    return evidence.noise.told and evidence.noise.low >= NOISY


def _verdict(evidence: Evidence, regime: int, reopening: ExpectedGain, more: float, *, cautious: bool) -> str:
    """The verdict; `cautious`: where it is close, a small set stays with what cannot harm, and a pilot decides."""
    verdict, large = _closed(evidence, more), regime > 2
    if not reopening.worth or (verdict == "more-data" and _noisy(evidence)):  # labels come first
        return verdict
    if (cautious and not large and reopening.close) or (verdict == "earlier-node" and reopening.gain <= evidence.lead):
        return verdict
    return "reopen-top" if regime == 3 else "reopen-all"


def _closed(evidence: Evidence, more: float) -> str:
    """The verdict where the network stays as it is."""
    error = 1.0 - evidence.linear_accuracy
    if _noisy(evidence):
        return "more-data"
    if evidence.earlier_shown and evidence.lead >= WORTH:
        return "earlier-node"
    if error >= 0.1 and (more >= DATA_WORTH or error >= 0.3):
        return "more-data"
    return "cache-is-enough"


def revise(advice: Advice, pilot: Mapping[str, Any]) -> Advice:
    """Correct a verdict by what a short fine-tune showed.

    A short pilot that pays reopens the network, whatever was expected. A conclusive one changes the expectation by what
    it measured, as much as its images allow, and the verdict follows; where it shows that no gain over the best cached
    head is worth it, that head is advised. Any other pilot, however bad, says nothing of a whole fine-tune: it changes
    nothing, and that is said.

    Parameters
    ----------
    advice : Advice
        Without a pilot so far.
    pilot : mapping
        `classifiers.advice.pilot.Pilot.to_json()`.
    """
    evidence, verdict, more = advice.evidence, advice.verdict, advice.gains["more-data"]
    gain, after = _Gain(advice.expected_gain, advice.expected_gain_ci, advice.expected_gain_level), None
    if pilot["pays"] or pilot["conclusive"]:
        low, high = pilot["gain_ci"]
        se = (high - low) / 2 / float(ndtri(0.5 + pilot["level"] / 2))
        after = advice.reopening.updated(float(pilot["gain"]), se)
        last, best = (evidence.nodes[at].node for at in (evidence.last, evidence.best))
        if pilot["pays"] and (after.worth or not pilot["conclusive"]):
            verdict = verdict if verdict.startswith("reopen") else "reopen-all"
        elif pilot["lead_ci"][1] >= WORTH or (after.worth and pilot["best_node"] == last):
            verdict = _verdict(evidence, advice.regime, after, more, cautious=False)
        elif after.worth and pilot["best_node"] == best:  # what a gain over the last node has, that node has, too
            verdict = "earlier-node"
        else:
            verdict = _closed(evidence, more)
        gain = _gain(evidence, verdict, more, _Gain(after.gain, after.ci, LEVEL))
    revised = _advice(evidence, verdict, advice.regime, advice.reopening, advice.gains, gain, pilot, after)
    kept = ("cost", "next", "about", "classes")
    return dataclasses.replace(revised, **{name: getattr(advice, name) for name in kept})


def _gain(evidence: Evidence, verdict: str, more: float, reopening: _Gain) -> _Gain:
    """Of the action advised; where the cache is enough, of reopening the network all the same."""
    if verdict == "earlier-node":
        return _Gain(evidence.lead, evidence.lead_ci, MEASURED)
    if verdict == "more-data":
        low, high = (evidence.linear_accuracy, 1.0) if evidence.doubled is None else evidence.doubled[1:]
        low, high = low - evidence.linear_accuracy, high - evidence.linear_accuracy
        return _Gain(more, (min(low, more), max(high, more)), MEASURED)  # more images are taken to do no harm
    return reopening
