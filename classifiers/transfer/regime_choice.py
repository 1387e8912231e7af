"""Which of the four regimes a data set is in, and which node suits it, by the evidence in the cache."""

from __future__ import annotations

import numpy as np

from classifiers.advice.cached_network import CachedNetwork
from classifiers.advice.decision import judge
from classifiers.advice.domain_distance import statistics_distance
from classifiers.advice.evidence import gather
from classifiers.advice.imagenet_head import ImageNetHead
from classifiers.training.starting_point import CachedHead, StartingPoint
from featstore.system.reporting import Progress


def choose_regime(network: CachedNetwork, start: StartingPoint, notes: list[str], progress: Progress) -> int:
    """The regime, 1 to 4; `notes` gets a sentence that says why.

    Parameters
    ----------
    network : CachedNetwork
        All of its cached nodes are looked at.
    start : StartingPoint
        Says which images are of one source.
    """
    training = start.features.training()
    sets = network.siblings()
    original = ImageNetHead.ask(sets, training, network.backbone)
    statistics = statistics_distance(network.backbone, start.features, training)
    evidence = gather(sets, groups=start.groups, original=original, statistics=statistics, progress=progress)
    advice = judge(evidence)
    notes.append(f"regime {advice.regime}: {advice.reasons[0]}")
    return advice.regime


def best_node(
    network: CachedNetwork, start: StartingPoint, cached_head: CachedHead, notes: list[str]
) -> tuple[CachedNetwork, StartingPoint]:
    """The cached node whose head does best on the validation part.

    Parameters
    ----------
    cached_head : CachedHead
        How heads are fitted.
    notes : list of str
        Gets the accuracy at every node.
    """
    candidates = network.siblings()
    if len(candidates) == 1:
        node = network.features.fingerprint.node
        notes.append(f"only {node} is cached; `featstore extract --node` adds earlier nodes to choose from")
        return network, start
    scores = []
    for features in candidates:
        predicted = cached_head.fit(start.at(features), start.fit).predict(features.X[start.valid])
        scores.append(float((predicted == features.y[start.valid]).mean()))
    tried = (f"{f.fingerprint.node} {score:.1%}" for f, score in zip(candidates, scores, strict=True))
    notes.append(f"validation accuracy by node: {', '.join(tried)}")
    best = candidates[int(np.argmax(scores))]
    return network.at(best), start.at(best)
