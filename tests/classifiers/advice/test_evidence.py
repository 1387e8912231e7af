"""What the cache says about itself; the advice drawn from it is test_advise's."""

import dataclasses
import json

import numpy as np
import pytest

from classifiers.advice.evidence import gather
from featstore.errors import FeaturesError
from tests.support.feature_sets import digits


def nodes(n=500, split=0.2, **changes):
    """Digits at the deepest node, and a poor view of the same images at two earlier ones."""
    good = digits(n, split=split, **changes)
    poor = []
    for i, node in enumerate(("layer2", "layer3")):
        noise = np.random.default_rng(i).normal(0, 12 - 6 * i, good.X.shape).astype(np.float32)
        fingerprint = dataclasses.replace(good.fingerprint, node=node)
        poor.append(dataclasses.replace(good, X=good.X + noise, fingerprint=fingerprint))
    return [*poor, good]


@pytest.fixture(scope="module")
def seen():
    return gather(nodes())


def test_nodes_are_judged_in_the_order_of_the_network(seen):
    shuffled = gather([nodes()[i] for i in (2, 0, 1)])
    assert [node.node for node in shuffled.nodes] == ["layer2", "layer3", "avgpool"]
    assert shuffled == seen
    accuracies = [node.accuracy for node in seen.nodes]
    assert accuracies == sorted(accuracies) and accuracies[2] > accuracies[0] + 0.1
    assert (seen.best, seen.last, seen.earlier_p) == (2, 2, 1.0)
    assert seen.nodes[2].log_me > seen.nodes[0].log_me and seen.nodes[2].h_score > seen.nodes[0].h_score
    for node in seen.nodes:
        assert node.accuracy_ci[0] < node.accuracy < node.accuracy_ci[1]


def test_the_rest_of_the_evidence(seen):
    assert (seen.train, seen.classes, seen.sources) == (400, 10, 400)
    assert seen.per_class_min <= seen.per_class_median <= seen.per_class_max
    assert seen.chance == seen.per_class_max / 400
    assert seen.linear_accuracy == seen.nodes[2].accuracy <= seen.train_accuracy <= 1.0
    assert abs(seen.knn_accuracy - seen.linear_accuracy) < 0.1
    sizes, shares, judged = zip(*seen.curve, strict=True)
    assert list(sizes) == sorted(sizes) and sizes[-1] == 320 and shares[-1] > shares[0] and set(judged) == {400}
    accuracy, low, high = seen.doubled
    assert low <= accuracy <= high <= 1.0 and accuracy > shares[-1] - 0.02
    assert seen.head_confidence is None and seen.head_accuracy is None
    json.dumps(seen.to_json(), allow_nan=False)


def test_no_test_image_is_looked_at(seen):
    poisoned = []
    for one in nodes():
        X = one.X.copy()
        X[one.testing()] = np.nan
        poisoned.append(dataclasses.replace(one, X=X))
    assert gather(poisoned) == seen


def test_an_earlier_node_that_is_better_is_told_from_luck():
    good, poor = nodes()[2], nodes()[0]
    early = dataclasses.replace(good, fingerprint=dataclasses.replace(good.fingerprint, node="layer1"))
    late = dataclasses.replace(poor, fingerprint=dataclasses.replace(poor.fingerprint, node="avgpool"))
    found = gather([early, late])
    assert (found.best, found.last) == (0, 1) and found.earlier_p < 1e-3
    assert found.last_accuracy == found.nodes[1].accuracy < found.linear_accuracy


def test_wrong_labels_raise_the_share_of_contradicted_ones(seen):
    (good,) = nodes()[2:]
    y = good.y.copy()
    wrong = np.random.default_rng(0).permutation(len(y))[: len(y) // 5]
    y[wrong] = (y[wrong] + 3) % 10
    noisy = gather([dataclasses.replace(good, y=y)])
    assert noisy.label_noise > 0.12 > 0.08 > seen.label_noise


def test_sources_are_kept_together():
    (good,) = nodes()[2:]
    train = good.training()
    twice = np.repeat(np.arange(len(train) // 2), 2)
    assert gather([good], groups=twice, groups_text="auto").sources == len(train) // 2


def test_nodes_of_other_images_are_refused():
    first, _, last = nodes()
    with pytest.raises(FeaturesError, match="node avgpool has other rows than layer2; extract both for all images"):
        gather([first, last.subset(np.arange(100))])
