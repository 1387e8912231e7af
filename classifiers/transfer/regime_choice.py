"""Which of the four regimes a data set is in, and which node suits it, by the evidence in the cache."""

from __future__ import annotations

import numpy as np

from classifiers.advice.cached_network import CachedNetwork
from classifiers.advice.decision import judge
from classifiers.advice.domain_distance import statistics_distance
from classifiers.advice.evidence import gather
from classifiers.advice.imagenet_head import ImageNetHead
from classifiers.formatting import count, points
from classifiers.training.regimes import reopening_regime
from classifiers.training.starting_point import CachedHead, StartingPoint
from classifiers.training.validation_answers import shown
from featstore.system.reporting import Progress


def choose_regime(
    network: CachedNetwork, start: StartingPoint, notes: list[str], progress: Progress, *, reopens: bool = False
) -> int:
    """The regime, 1 to 4; `notes` gets a sentence that says why.

    Parameters
    ----------
    network : CachedNetwork
        All of its cached nodes are looked at.
    start : StartingPoint
        Says which images are of one source.
    reopens : bool
        More than the head is to be trained, whatever the evidence says: 3 or 4, by the domain.
    """
    training = start.features.training()
    sets = network.siblings()
    original = ImageNetHead.ask(sets, training, network.backbone)
    statistics = statistics_distance(network.backbone, start.features, training)
    evidence = gather(sets, groups=start.groups, original=original, statistics=statistics, progress=progress)
    advice = judge(evidence)
    regime = reopening_regime(advice.regime) if reopens else advice.regime
    if regime == advice.regime:
        notes.append(f"regime {regime}: {advice.situation}")
    else:
        notes.append(
            f"the evidence says regime {advice.regime}: {advice.situation} Regime {advice.regime} trains the head "
            f"only; more than the head was asked for, so the settings are those of regime {regime}"
        )
    if advice.verdict == "earlier-node" and not reopens:
        best = evidence.nodes[evidence.best].node
        notes.append(
            f"the advice would be a head on {best} in the cache, {points(evidence.lead)} points better than one on "
            f"{network.features.fingerprint.node}, where this fine-tune starts: compare heads on {best} first"
        )
    return regime


def best_node(
    network: CachedNetwork, start: StartingPoint, cached_head: CachedHead, notes: list[str]
) -> tuple[CachedNetwork, StartingPoint]:
    """The cached node whose head does best on the validation part.

    Parameters
    ----------
    cached_head : CachedHead
        How heads are fitted.
    notes : list of str
        Gets the accuracy at every node, on how many images, and whether chance can explain the choice.
    """
    candidates = network.siblings()
    if len(candidates) == 1:
        node = network.features.fingerprint.node
        notes.append(f"only {node} is cached; `featstore extract --node` adds earlier nodes to choose from")
        return network, start
    y = start.features.y[start.valid]
    right = []
    for features in candidates:
        right.append(cached_head.fit(start.at(features), start.fit).predict(features.X[start.valid]) == y)
    names = [features.fingerprint.node for features in candidates]
    tried = (f"{name} {one.mean():.1%}" for name, one in zip(names, right, strict=True))
    images = count(len(y), "image")
    notes.append(f"validation accuracy by node, on {images}: {', '.join(tried)}")
    best = int(np.argmax([one.sum() for one in right]))
    own = names.index(network.features.fingerprint.node)
    gained, lost = int((right[best] & ~right[own]).sum()), int((right[own] & ~right[best]).sum())
    if best != own and not shown(gained, lost):
        notes.append(
            f"{names[best]} was taken, the best of {len(names)} nodes; chance can explain its lead over {names[own]} "
            f"on {images} ({gained} right there only, {lost} the other way round)"
        )
    return network.at(candidates[best]), start.at(candidates[best])
