"""Reasons: what an advice rests on, in sentences. They are made of its state, a pilot included, never edited later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifiers.advice.evidence import Evidence
from classifiers.advice.expected_gain import LEVEL, WORTH, ExpectedGain
from classifiers.formatting import count, listing, percent, points, printable, probability
from classifiers.report.next_steps import FEWEST as FEWEST_JUDGED
from classifiers.training.regimes import reopening_regime
from classifiers.training.starting_point import FEWEST
from classifiers.validation.shift import Shift

IMAGES_FIRST = "Add training images of {}, or take these classes out: a fine-tune stops where a class has none."
"""What comes before a fine-tune of a data set with classes that nothing trains."""

LABEL_FIRST = "Label images like the test images and add them to the training part."
"""What comes before any verdict where the test part holds another kind of images."""


def reasons(
    evidence: Evidence,
    *,
    verdict: str,
    regime: int,
    gains: Mapping[str, float],
    reopening: ExpectedGain,
    pilot: Mapping[str, Any] | None = None,
    after: ExpectedGain | None = None,
) -> tuple[str, ...]:
    """The sentences of an advice, the most important first.

    Accuracies are in per cent, differences of accuracies in points. All gains are over one base: the linear head on the
    last cached node.

    Parameters
    ----------
    evidence : Evidence
    verdict : one of `classifiers.advice.decision.VERDICTS`
    regime : {1, 2, 3, 4}
    gains : mapping
        Expected gain of each action; shares in [-1, 1].
    reopening : ExpectedGain
        Of reopening the network, as it was before a pilot.
    pilot : mapping, optional
        `classifiers.advice.pilot.Pilot.to_json()`.
    after : ExpectedGain, optional
        Of reopening the network, with what the pilot measured, where that tells something.

    Returns
    -------
    tuple of str
        What is to be done before all else; what a pilot showed; what the verdict stands on; then the rest: what
        reopening is expected to bring, size and distance, nodes, accuracies, wrong labels, more images, unbalanced
        classes. What does not apply is left out.

    Examples
    --------
    >>> from classifiers.advice.domain_distance import domain_distance
    >>> from classifiers.advice.evidence import UNASKED, NodeEvidence
    >>> from classifiers.advice.expected_gain import expected_gain
    >>> from classifiers.advice.label_noise import LabelNoise
    >>> node = NodeEvidence("avgpool", "avg", 512, 0.9, (0.85, 0.94), log_me=0.3, h_score=1.2)
    >>> evidence = Evidence(
    ...     train=200, classes=2, per_class_min=100, per_class_median=100.0, per_class_max=100, sources=200,
    ...     groups=None, chance=0.5, nodes=(node,), best=0, last=0, lead=0.0, lead_ci=(0.0, 0.0),
    ...     earlier_p=1.0, earlier_shown=False, rises_to_last=False, nodes_text=(), linear_accuracy=0.9,
    ...     knn_accuracy=0.85, train_accuracy=1.0, curve=(), doubled=None, head_confidence=None, head_accuracy=None,
    ...     last_accuracy=0.9, noise=LabelNoise(0.0, 0.0, 0.02, True, ""), leaks={},
    ...     domain=domain_distance([("avgpool", 0.9)], 0.5, UNASKED, None),
    ... )
    >>> reopening = expected_gain(0.1, train=200, per_class=100, distance=0.1, images=100)
    >>> said = reasons(evidence, verdict="cache-is-enough", regime=1, gains={"more-data": 0.0}, reopening=reopening)
    >>> said[0].partition(",")[0]
    'The expected gain of reopening is over the linear head on avgpool'
    """
    blocks = {
        "reopening": [_reopening(evidence, verdict, regime, reopening, pilot, after)],
        "size": [situation(evidence, regime)],
        "nodes": [*evidence.nodes_text],
        "heads": [_accuracies(evidence)],
        "data": _data(evidence, gains["more-data"]),
    }
    first = {"earlier-node": "nodes", "more-data": "data"}.get(verdict, "reopening")
    said = [] if evidence.shift is None or not evidence.shift.shifted else _shift(evidence, evidence.shift)
    said += _unjudged(evidence)
    if pilot is not None:
        said.append(_pilot(pilot, evidence, verdict, after))
    said += blocks.pop(first) + _test_part(evidence)
    for block in blocks.values():
        said += block
    return tuple(said)


def situation(evidence: Evidence, regime: int) -> str:
    """How large the training part is and how far from ImageNet, which the regime follows from, as a sentence.

    Parameters
    ----------
    evidence : Evidence
    regime : {1, 2, 3, 4}
    """
    size = "large" if regime > 2 else "small"
    far = "different from" if regime in (2, 4) else "similar to"
    sources = f" from {count(evidence.sources, 'source')}" if evidence.sources < evidence.train else ""
    return (
        f"The training part is {size} ({count(evidence.train, 'image')}{sources}, {evidence.per_class_median:g} a "
        f"class) and {far} ImageNet (distance {evidence.distance:.2f}, where 0 is near and 1 is far). "
        f"{evidence.domain.text}"
    )


def base(evidence: Evidence) -> str:
    """What every gain is measured against, as the object of a sentence.

    Parameters
    ----------
    evidence : Evidence
    """
    last = evidence.nodes[evidence.last].node
    return f"the linear head on {last}" + (", the last cached node" if len(evidence.nodes) > 1 else "")


def _data(evidence: Evidence, more: float) -> list[str]:
    """What more images, right labels and weights of classes would bring."""
    said = []
    if evidence.noise.low > 0:
        said.append(evidence.noise.text)
    if evidence.doubled is not None:
        expected, low, high = evidence.doubled
        said.append(
            f"With twice the training images the linear head on {evidence.nodes[evidence.best].node} is expected to be "
            f"right on {percent(expected)} % (95 % interval {percent(low)} to {percent(high)} %), a gain of "
            f"{points(more)} points."
        )
    if evidence.per_class_max > 3 * evidence.per_class_min:
        said.append(
            f"The classes have from {evidence.per_class_min:,} to {evidence.per_class_max:,} images: "
            '`class_weight="balanced"` helps the rare ones.'
        )
    return said


def _unjudged(evidence: Evidence) -> list[str]:
    """Classes that nothing judges."""
    lone, said = [name for name in evidence.unjudged if name not in evidence.single], []
    blind = "the accuracies are of the other classes alone, and nothing is told of the whole task."
    if evidence.single:
        have = "has one training image only, so no fold judges it"
        if len(evidence.single) > 1:
            have = "have one training image each, so no fold judges them"
        said.append(f"{_classes(evidence.single)} {have}: {blind} Add images there, or leave such classes out.")
    if lone:
        said.append(
            f"No fold judges {_classes(lone)}, for all images there are of one source: {blind} Images of other sources "
            "would tell, or another grouping (`groups`)."
        )
    return said


def _test_part(evidence: Evidence) -> list[str]:
    """A test part that will judge nothing."""
    if not 0 < evidence.test < FEWEST_JUDGED:
        return []
    return [
        f"The test part has {count(evidence.test, 'image')}: nothing can be told from so few, whatever is done. "
        "Label more test images."
    ]


def _classes(names: Sequence[str]) -> str:
    return f"{count(len(names), 'class', 'classes')} ({listing([printable(name) for name in names], 3)})"


def _epoch_chosen(evidence: Evidence, gain: float) -> str:
    """A word on validation images that are too few to show what is expected; empty where they may be enough."""
    n = evidence.validation
    if n is None or n * gain >= FEWEST:
        return ""
    held = f"the {count(n, 'image')} of the validation part"
    more = "more validation images would show less"
    if not evidence.validation_given:
        held = f"{count(n, 'image')} that it holds out of the training part"
        more = "a larger `valid_fraction` would show less"
    if n < FEWEST:
        need = f"and on fewer than {FEWEST} none can be shown to be better than the cached head"
    else:
        need = f"where one is kept only for at least {FEWEST} more right answers ({points(FEWEST / n)} points)"
    return (
        f" A fine-tune chooses its epoch on {held}, {need}: a gain as expected may well not be kept, and then the "
        f"cached head stays. There {more}, and `keep_any=True` keeps the best epoch all the same."
    )


def _shift(evidence: Evidence, shift: Shift) -> list[str]:
    """What to do about a shifted test part, and what the other sentences are worth there."""
    first = f"{LABEL_FIRST} {shift.text} The accuracies below are those of the training part."
    if evidence.elsewhere is None:
        return [first]
    return [first, _elsewhere(1 - evidence.last_accuracy, evidence.elsewhere.there)]


def _elsewhere(here: float, there: float) -> str:
    """The error to expect on a shifted test part."""
    meant = "The gain of reopening is meant for the test images."
    if there <= here:
        return (
            f"{meant} How often the linear head is wrong there cannot be told without their labels; it is no less sure "
            "of them than of the training images."
        )
    return (
        f"{meant} The linear head is as unsure there as if it were wrong on {percent(there)} % of them; without their "
        "labels this is a guess, and often too low."
    )


def _pilot(pilot: Mapping[str, Any], evidence: Evidence, verdict: str, after: ExpectedGain | None) -> str:
    last = evidence.nodes[evidence.last].node
    cached = f"The linear head on {last} is right on {percent(pilot['accuracy_last'])} % of them"
    if pilot["best_node"] != last:
        cached += f", that on {pilot['best_node']}, the best of the cached nodes there, on " + (
            f"{percent(pilot['accuracy_best'])} %"
        )
    low, high = pilot["lead_ci"]
    found = (
        f"The pilot trained the whole network for {pilot['epochs']:g} of {count(pilot['planned_epochs'], 'epoch')} on "
        f"{_images_of(pilot)}. It is right on {percent(pilot['accuracy_tuned'])} % of "
        f"{count(pilot['judged'], 'other training image')}. {cached}. Over the best cached head the pilot gains "
        f"{points(pilot['lead'])} points (95 % interval {points(low)} to {points(high)}; p {_equals(pilot['p'])}): "
    )
    if pilot["shorter_than_an_epoch"]:
        return found + "nothing can be told from less than one epoch; give it more minutes."
    if after is not None:
        shown = "a gain is shown" if pilot["pays"] else "no gain is shown"
        if high < WORTH:
            shown = "it is shown that no gain over that head is worth the trouble"
            if pilot["best_node"] != last:
                shown += f", so heads on {pilot['best_node']} are worth comparing first"
        more = ", and a whole fine-tune may bring more" if pilot["pays"] and not pilot["conclusive"] else ""
        return (
            f"{found}{shown}{more}. Together with what was expected before, reopening is expected to bring "
            f"{points(after.gain)} points over {base(evidence)}; the chance that it brings at least {100 * WORTH:g} "
            f"points is {100 * after.chance:.0f} %."
        )
    if pilot["of_a_part"]:
        few = f"a pilot of {pilot['trained']} of {pilot['available']} images can decide little"
        stands = "the verdict stands on what is expected" if verdict.startswith("reopen") else "the verdict stays"
        return f"{found}{few}, for a whole fine-tune sees them all. So {stands}; give it more minutes."
    if verdict.startswith("reopen"):
        return found + "too short to tell, so the verdict stands on what is expected; give it more minutes."
    return found + "too short to tell; no sign yet that reopening would pay."


def _images_of(pilot: Mapping[str, Any]) -> str:
    """The images that a pilot was trained on, of those that it could have had."""
    if pilot["trained"] == pilot["available"]:
        return count(pilot["trained"], "image")
    return f"{pilot['trained']} of {count(pilot['available'], 'image')} that it could have had"


def _reopening(
    evidence: Evidence,
    verdict: str,
    regime: int,
    reopening: ExpectedGain,
    pilot: Mapping[str, Any] | None,
    after: ExpectedGain | None,
) -> str:
    low, high = reopening.ci
    meant = count(reopening.images, "test image" if evidence.test else "image")
    if pilot is None and verdict not in ("earlier-node", "more-data"):  # the figures are those of the headline
        said = f"The expected gain of reopening is over {base(evidence)}, its interval meant for {meant}."
    else:
        began = "Before the pilot, reopening the network was" if pilot else "Reopening the network is"
        said = (
            f"{began} expected to bring {points(reopening.gain)} points over {base(evidence)} ({100 * LEVEL:g} % "
            f"interval {points(low)} to {points(high)} on {meant})."
        )
    said += f" The chance that it brings at least {100 * WORTH:g} points is {100 * reopening.chance:.0f} %."
    reopened = verdict.startswith("reopen")
    if reopening.close and pilot is None:
        said += " That is close: a short fine-tune (`pilot`) decides it." + (
            " A small set stays closed until then." if reopening.worth and regime < 3 and not reopened else ""
        )
    if evidence.earlier_shown and evidence.best != evidence.last:
        node = evidence.nodes[evidence.best].node
        said += f" The earlier node {node} brings {points(evidence.lead)} points without training the network."
    if reopened and regime < 3:
        said += (
            f" Left to itself, a fine-tune of so few images trains the head only; the next command names regime "
            f"{reopening_regime(regime)}, which trains the network too."
        )
    if reopened:
        said += _epoch_chosen(evidence, (after or reopening).gain)
    return said


def _accuracies(evidence: Evidence) -> str:
    best, last = evidence.nodes[evidence.best].node, evidence.nodes[evidence.last].node
    fitted = percent(evidence.train_accuracy)
    if best == last:
        heads = f"the linear head on {last} is right on {percent(evidence.last_accuracy)} %"
    else:
        heads = (
            f"the linear head on {last} is right on {percent(evidence.last_accuracy)} %, that on {best} on "
            f"{percent(evidence.linear_accuracy)} %"
        )
    others = [f"the nearest neighbours on {percent(evidence.knn_accuracy)} %"]
    others.append(f"always naming the largest class on {percent(evidence.chance)} %")
    return (
        f"On training images that a head did not see, {heads}, {listing(others)}. On those it was fitted to, the head "
        f"on {best} is right on {fitted} %."
    )


def _equals(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
