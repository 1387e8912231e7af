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
from typing import Any

from classifiers.advice.evidence import Evidence
from classifiers.advice.expected_gain import WORTH, ExpectedGain, expected_gain
from classifiers.formatting import count
from classifiers.validation.shift import Shift
from classifiers.validation.significance import SIGNIFICANT

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

EXPECTED = "Reopening the network is expected to bring"
EXPECTED_BEFORE = "Before the pilot, reopening the network was expected to bring"

CLOSE = " It is close: a short fine-tune (`pilot`) decides it."

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
    expected_gain, expected_gain_ci
        Accuracy over the linear head on the last cached node, for the action advised; where the cache is enough, of
        reopening the network all the same. Shares in [-1, 1].
    difference : float in [0, 1]
        Distance from ImageNet, see `domain_distance`: 0 as near as pets and insects, 1 as far as microscopy.
    gains : dict
        Expected gain of each action, over the same base.
    reopening : ExpectedGain
        What reopening the network is expected to bring, whatever is advised.
    reasons : tuple of str
        Sentences, the most important first.
    pilot : dict or None
        What a short fine-tune showed, where one was run.
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
    difference: float
    gains: dict[str, float]
    reasons: tuple[str, ...]
    evidence: Evidence
    reopening: ExpectedGain
    pilot: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    next: str = ""
    about: Mapping[str, str] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def situation(self) -> str:
        """How large the training part is and how far from ImageNet: what the regime follows from, as a sentence."""
        evidence = self.evidence
        size = "large" if self.regime > 2 else "small"
        far = "different from" if self.regime in (2, 4) else "similar to"
        sources = f" from {evidence.sources} sources" if evidence.sources < evidence.train else ""
        return (
            f"The training part is {size} ({evidence.train} images{sources}, {evidence.per_class_median:g} a class) "
            f"and {far} ImageNet (distance {evidence.distance:.2f} of 1). {evidence.domain.text}"
        )

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
            "reopening": self.reopening.to_json(),
            "reasons": list(self.reasons),
            "evidence": {**self.evidence.to_json(), "difference": self.difference, "gains": self.gains},
            "pilot": self.pilot,
            "cost": self.cost,
            "next": self.next,
        }


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
    gains = {"earlier-node": evidence.lead, "reopen": reopening.gain, "more-data": more}
    verdict = _closed(evidence, more)
    # Labels come first; where it is close, a small set stays with what cannot harm, and a pilot decides.
    first = (verdict == "more-data" and _noisy(evidence)) or (not large and reopening.close)
    if reopening.worth and not first and (verdict != "earlier-node" or reopening.gain > evidence.lead):
        verdict = "reopen-all" if regime == 4 or not large else "reopen-top"
    gain, interval = _expected(evidence, verdict, gains, (reopening.gain, *reopening.ci))
    advice = Advice(
        verdict=verdict,
        regime=regime,
        expected_gain=gain,
        expected_gain_ci=interval,
        difference=distance,
        gains=gains,
        reasons=(),
        evidence=evidence,
        reopening=reopening,
    )
    return dataclasses.replace(advice, reasons=tuple(_reasons(advice)))


def reopening_gain(evidence: Evidence) -> ExpectedGain:
    """What reopening is expected to bring, on images like those of the test part."""
    elsewhere = evidence.elsewhere
    return expected_gain(
        1.0 - evidence.last_accuracy if elsewhere is None else max(elsewhere.here, elsewhere.there),
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

    A pilot that beats the best cached head reopens the network, whatever was expected. One that does not closes it, if
    it ran for at least half of the epochs and on nearly all images that it could have; a shorter one, however bad,
    says nothing of a whole fine-tune, changes nothing, and that is said.

    Parameters
    ----------
    pilot : mapping
        `classifiers.advice.pilot.Pilot.to_json()`.
    """
    evidence, lead = advice.evidence, float(pilot["lead"])
    most = pilot["trained"] >= 0.9 * (evidence.train - pilot["judged"])
    enough = pilot["complete"] or (pilot["epochs"] >= pilot["planned_epochs"] / 2 and most)
    shown = pilot["epochs"] >= 1 and pilot["p"] < SIGNIFICANT and lead >= WORTH
    reopened = advice.verdict.startswith("reopen")
    verdict = advice.verdict
    if shown and not reopened:
        verdict = "reopen-all"
    elif not shown and reopened and enough:
        verdict = _closed(evidence, advice.gains["more-data"])
    best, last = evidence.nodes[evidence.best].node, evidence.nodes[evidence.last].node
    cached = f"{pilot['accuracy_last']:.1%} on {last}"
    if best != last:
        cached += f" and {pilot['accuracy_best']:.1%} on {best}, the best node in cross-validation"
    found = (
        f"The pilot trained the whole network for {pilot['epochs']:g} of {pilot['planned_epochs']} epochs on "
        f"{pilot['trained']} images: {pilot['accuracy_tuned']:.1%} on {pilot['judged']} others, where a linear head "
        f"gets {cached} ({_points(lead)}, p = {pilot['p']:.2g}): "
    )
    if pilot["epochs"] < 1:
        found += "less than one epoch, so nothing can be told; give it more minutes."
    elif shown:
        found += "reopening pays." if enough else "reopening pays, and a whole fine-tune will bring more."
    elif verdict != advice.verdict:
        found += "reopening is not worth it."
    elif reopened:
        found += "too short to tell, so the verdict stands on what is expected; give it more minutes."
    else:
        found += "no sign that reopening would pay."
    gain, interval = _expected(evidence, verdict, advice.gains, (float(pilot["gain"]), *pilot["gain_ci"]))
    if verdict.startswith("reopen") and not shown:
        gain, interval = advice.expected_gain, advice.expected_gain_ci
    return dataclasses.replace(
        advice,
        verdict=verdict,
        expected_gain=gain,
        expected_gain_ci=(float(interval[0]), float(interval[1])),
        reasons=(found, *(r.replace(EXPECTED, EXPECTED_BEFORE).replace(CLOSE, "") for r in advice.reasons)),
        pilot=dict(pilot),
    )


def _expected(
    evidence: Evidence, verdict: str, gains: Mapping[str, float], reopen: tuple[float, float, float]
) -> tuple[float, tuple[float, float]]:
    """The gain of an action over the linear head on the last node, and its interval; `reopen`: that of reopening."""
    if verdict == "earlier-node":
        return evidence.lead, evidence.lead_ci
    if verdict == "more-data":
        return gains["more-data"], _data_interval(evidence)
    return reopen[0], (reopen[1], reopen[2])


def _data_interval(evidence: Evidence) -> tuple[float, float]:
    if evidence.doubled is None:
        return 0.0, 1.0 - evidence.linear_accuracy
    return evidence.doubled[1] - evidence.linear_accuracy, evidence.doubled[2] - evidence.linear_accuracy


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _reasons(advice: Advice) -> list[str]:
    evidence, reopening = advice.evidence, advice.reopening
    said = [] if evidence.shift is None or not evidence.shift.shifted else [_shifted(evidence, evidence.shift)]
    said.append(advice.situation)
    said += evidence.nodes_text
    said.append(
        f"A linear head gets {evidence.linear_accuracy:.1%} out of fold and {evidence.train_accuracy:.1%} on what it "
        f"was fitted to (a gap of {100 * (evidence.train_accuracy - evidence.linear_accuracy):.1f} points); nearest "
        f"neighbours get {evidence.knn_accuracy:.1%}, the largest class alone {evidence.chance:.1%}."
    )
    said.append(
        "LogME and H-score by node: "
        + ", ".join(f"{node.node} {node.log_me:.2f} and {node.h_score:.2f}" for node in evidence.nodes)
        + " (larger is better; weak signs on their own)."
    )
    if evidence.doubled is not None:
        said.append(
            f"The learning curve promises {evidence.doubled[0]:.1%} ({evidence.doubled[1]:.1%} to "
            f"{evidence.doubled[2]:.1%}) with twice the images ({_points(advice.gains['more-data'])})."
        )
    said.append(_reopening(reopening))
    if advice.verdict.startswith("reopen") and advice.regime < 3:
        said.append(
            "For so few images a fine-tune left to itself trains the head only; the gain is worth more here, so the "
            "next command names the regime that reopens the network."
        )
    if evidence.noise.low > 0:
        said.append(evidence.noise.text)
    if evidence.per_class_max > 3 * evidence.per_class_min:
        said.append(
            f"The classes are unbalanced: {evidence.per_class_min} to {evidence.per_class_max} images; "
            '`class_weight="balanced"` helps the rare ones.'
        )
    return said


def _reopening(reopening: ExpectedGain) -> str:
    low, high = reopening.ci
    said = (
        f"{EXPECTED} {_points(reopening.gain)} over a linear head on the last cached node "
        f"({100 * low:+.1f} to {100 * high:+.1f} on a test part of {count(reopening.images, 'image')}, in nine of ten "
        "data sets)."
    )
    return said + (CLOSE if reopening.close else "")


def _shifted(evidence: Evidence, shift: Shift) -> str:
    said = shift.text
    if evidence.elsewhere is not None:
        said += (
            f" What follows was measured on images like the training part, where a linear head is wrong on "
            f"{evidence.elsewhere.here:.1%}; on the test part it is unsure as if it were wrong on "
            f"{evidence.elsewhere.there:.1%} or more. The gain to expect is meant for the test part."
        )
    return said
