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

import numpy as np

from classifiers.advice.evidence import Evidence
from classifiers.report.next_steps import WITNESS
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
WORTH = 0.015
"""Accuracy that must be expected before anything is worth the trouble."""
DATA_WORTH = 0.03
"""Accuracy that twice the data must be expected to bring before collecting it is the advice."""

EXPECTED = "Reopening the network is expected to bring"
EXPECTED_BEFORE = "Before the pilot, reopening the network was expected to bring"

NOISY = 0.1
"""Share of doubtful labels from which they come first, where the features are right for the images."""


@dataclasses.dataclass(frozen=True)
class Advice:
    """A verdict and what it rests on.

    Attributes
    ----------
    verdict : one of `VERDICTS`
    regime : {1, 2, 3, 4}
        1 small and similar, 2 small and different, 3 large and similar, 4 large and different.
    expected_gain, expected_gain_ci
        Accuracy over the linear head on the last cached node, for the action advised; shares in [-1, 1].
    difference : float in [0, 1]
        Distance from ImageNet: 0 as near as pets and insects, 1 as far as microscopy.
    gains : dict
        Expected gain of each action, over the same base.
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
    pilot: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    next: str = ""
    about: Mapping[str, str] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()

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
            "reasons": list(self.reasons),
            "evidence": {**self.evidence.to_json(), "difference": self.difference, "gains": self.gains},
            "pilot": self.pilot,
            "cost": self.cost,
            "next": self.next,
        }


def difference_from_imagenet(evidence: Evidence) -> float:
    """How far the images are from ImageNet, in [0, 1]: the stronger of two signs.

    An earlier node that beats the last one; and how little of what a linear head learns from the features the network's
    own ImageNet classes tell already (`ImageNetHead.accuracy`): measured with MobileNetV2, about 0.9 of it on pets and
    insects, 0.6 on aerial views, 0.3 on microscopy. How sure the ImageNet head is of itself is no sign: networks are
    sure of nonsense, some more than others.
    """
    signs = [0.0]
    recovered = recovered_share(evidence)
    if recovered is not None:
        signs.append((0.85 - recovered) / 0.45)
    lead = evidence.nodes[evidence.best].accuracy - evidence.nodes[evidence.last].accuracy
    signs.append(1.0 if evidence.earlier_p < SIGNIFICANT and lead >= WORTH else min(0.5, lead / 0.05))
    return float(np.clip(max(signs), 0.0, 1.0))


def recovered_share(evidence: Evidence) -> float | None:
    """Of what a linear head on the last node knows beyond chance, the share that ImageNet's classes tell, in [0, 1].

    None where the network has no ImageNet head, or the linear head knows nothing.
    """
    known = evidence.last_accuracy - evidence.chance
    if evidence.head_accuracy is None or known < 0.05:
        return None
    return float(np.clip((evidence.head_accuracy - evidence.chance) / known, 0.0, 1.0))


def reopening_gain(evidence: Evidence, difference: float) -> tuple[float, float, float]:
    """Expected accuracy gained by fine-tuning over the best cached node, with its interval.

    The share of the error that goes away grows with the number of images and with the distance from ImageNet.
    """
    error = 1.0 - evidence.linear_accuracy
    size = np.clip(np.log10(max(evidence.train, 1) / 100) / 1.2, 0, 1) * np.clip(evidence.per_class_median / 50, 0, 1)
    share = float(size) * (0.15 + 0.45 * difference)
    return error * share, error * (0.4 * share - 0.03), error * min(1.0, 1.6 * share + 0.03)


def judge(evidence: Evidence) -> Advice:
    """Reach the verdict.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    Advice
    """
    best, last = evidence.nodes[evidence.best], evidence.nodes[evidence.last]
    difference = difference_from_imagenet(evidence)
    large = evidence.train >= LARGE_TRAIN and evidence.per_class_median >= LARGE_PER_CLASS
    regime = 1 + int(difference >= 0.5) + 2 * int(large)

    lead = best.accuracy - last.accuracy
    reopen, reopen_low, reopen_high = reopening_gain(evidence, difference)
    more = evidence.doubled[0] - evidence.linear_accuracy if evidence.doubled else 0.0
    more = max(more, 0.0)
    gains = {"earlier-node": lead, "reopen": lead + reopen, "more-data": more}
    if large and reopen >= WORTH:
        verdict = "reopen-all" if regime == 4 else "reopen-top"
    else:
        verdict = _closed(evidence, difference, lead, more)

    gain, interval = _expected(evidence, verdict, gains, (reopen, reopen_low, reopen_high))
    return Advice(
        verdict=verdict,
        regime=regime,
        expected_gain=gain,
        expected_gain_ci=interval,
        difference=difference,
        gains=gains,
        reasons=tuple(_reasons(evidence, difference, large, reopen, more)),
        evidence=evidence,
    )


def _closed(evidence: Evidence, difference: float, lead: float, more: float) -> str:
    """The verdict where the network stays as it is."""
    error = 1.0 - evidence.linear_accuracy
    if evidence.label_noise >= NOISY and 0.1 <= error <= 0.3 and difference < 0.5:
        return "more-data"
    if evidence.earlier_p < SIGNIFICANT and lead >= WORTH:
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
    shown = pilot["p"] < SIGNIFICANT and lead >= WORTH
    reopened = advice.verdict.startswith("reopen")
    verdict = advice.verdict
    if shown and not reopened:
        verdict = "reopen-all"
    elif not shown and reopened and enough:
        verdict = _closed(evidence, advice.difference, advice.gains["earlier-node"], advice.gains["more-data"])
    best, last = evidence.nodes[evidence.best].node, evidence.nodes[evidence.last].node
    cached = f"{pilot['accuracy_last']:.1%} on {last}"
    if best != last:
        cached += f" and {pilot['accuracy_best']:.1%} on {best}, the best node in cross-validation"
    found = (
        f"The pilot trained the whole network for {pilot['epochs']:g} of {pilot['planned_epochs']} epochs on "
        f"{pilot['trained']} images: {pilot['accuracy_tuned']:.1%} on {pilot['judged']} others, where a linear head "
        f"gets {cached} ({_points(lead)}, p = {pilot['p']:.2g}): "
    )
    if shown:
        found += "reopening pays." if enough else "reopening pays, and a whole fine-tune will bring more."
    elif verdict != advice.verdict:
        found += "reopening is not worth it."
    elif reopened:
        found += "too short to tell, so the verdict stands on what is expected."
    else:
        found += "no sign that reopening would pay."
    gain, interval = float(pilot["gain"]), tuple(pilot["gain_ci"])
    if not verdict.startswith("reopen"):
        gain, interval = _expected(evidence, verdict, advice.gains, (lead, *pilot["lead_ci"]))
    elif not shown:
        gain, interval = advice.expected_gain, advice.expected_gain_ci
    return dataclasses.replace(
        advice,
        verdict=verdict,
        expected_gain=gain,
        expected_gain_ci=(float(interval[0]), float(interval[1])),
        reasons=(found, *(reason.replace(EXPECTED, EXPECTED_BEFORE) for reason in advice.reasons)),
        pilot=dict(pilot),
    )


def _expected(
    evidence: Evidence, verdict: str, gains: Mapping[str, float], reopen: tuple[float, float, float]
) -> tuple[float, tuple[float, float]]:
    """The gain of an action over the linear head on the last node, and its interval; `reopen`: over the best node."""
    lead, (middle, low, high) = gains["earlier-node"], reopen
    if verdict == "earlier-node":
        return lead, _lead_interval(evidence)
    if verdict == "more-data":
        return gains["more-data"], _data_interval(evidence)
    if verdict == "cache-is-enough":
        return middle, (low, high)
    return lead + middle, (lead + low, lead + high)


def _lead_interval(evidence: Evidence) -> tuple[float, float]:
    best, last = evidence.nodes[evidence.best], evidence.nodes[evidence.last]
    return best.accuracy_ci[0] - last.accuracy, best.accuracy_ci[1] - last.accuracy


def _data_interval(evidence: Evidence) -> tuple[float, float]:
    if evidence.doubled is None:
        return 0.0, 1.0 - evidence.linear_accuracy
    return evidence.doubled[1] - evidence.linear_accuracy, evidence.doubled[2] - evidence.linear_accuracy


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _reasons(evidence: Evidence, difference: float, large: bool, reopen: float, more: float) -> list[str]:
    best, last = evidence.nodes[evidence.best], evidence.nodes[evidence.last]
    size = "large" if large else "small"
    far = "different from" if difference >= 0.5 else "similar to"
    sources = f" from {evidence.sources} sources" if evidence.sources < evidence.train else ""
    said = [
        f"The training part is {size} ({evidence.train} images{sources}, {evidence.per_class_median:g} a class) and "
        f"{far} ImageNet (difference {difference:.2f} of 1)."
    ]
    if evidence.head_confidence is not None:
        recovered = recovered_share(evidence)
        tells = "" if recovered is None else (
            f"; which ImageNet class it sees tells {recovered:.0%} of what a linear head knows beyond chance (about "
            f"90 % where images are like ImageNet's, 30 % where they are far)"
        )  # fmt: skip
        said.append(f"The original ImageNet head is {evidence.head_confidence:.0%} sure of its answers{tells}.")
    if len(evidence.nodes) == 1:
        said.append("Only one node is cached, so nothing can be said about earlier layers.")
    elif evidence.best == evidence.last:
        said.append(
            f"Accuracy rises up to the last node, {last.node} ({last.accuracy:.1%}): its features fit this domain."
        )
    else:
        shown = "" if evidence.earlier_p < SIGNIFICANT else ", a difference that chance can explain"
        said.append(
            f"The best node is {best.node} ({best.accuracy:.1%}), before the last, {last.node} ({last.accuracy:.1%}; "
            f"p = {evidence.earlier_p:.2g}{shown}): "
            + ("the sign of a far domain." if evidence.earlier_p < SIGNIFICANT else "no clear sign of a far domain.")
        )
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
            f"{evidence.doubled[2]:.1%}) with twice the images ({_points(more)})."
        )
    said.append(f"{EXPECTED} {_points(reopen)} over the best cached node.")
    if evidence.label_noise >= 0.03 and evidence.linear_accuracy >= WITNESS:
        said.append(
            f"Up to {evidence.label_noise:.0%} of the labels are doubtful: a linear head and nearest neighbours both "
            f"name the same other class. The report of `featstore compare` lists the most suspect ones."
        )
    if evidence.per_class_max > 3 * evidence.per_class_min:
        said.append(
            f"The classes are unbalanced: {evidence.per_class_min} to {evidence.per_class_max} images; "
            '`class_weight="balanced"` helps the rare ones.'
        )
    return said
