"""What the cache says about itself; the advice drawn from it is test_advise's."""

import dataclasses
import json

import numpy as np
import pytest

from classifiers.advice.decision import judge
from classifiers.advice.domain_distance import StatisticsDistance
from classifiers.advice.evidence import gather
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.starting_point import starting_point
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
    assert shuffled.to_json() == seen.to_json()
    accuracies = [node.accuracy for node in seen.nodes]
    assert accuracies == sorted(accuracies) and accuracies[2] > accuracies[0] + 0.1
    assert (seen.best, seen.last, seen.lead, seen.lead_ci, seen.earlier_p) == (2, 2, 0.0, (0.0, 0.0), 1.0)
    assert seen.rises_to_last and not seen.earlier_shown
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


def test_no_test_image_is_judged(seen):
    """The test part is only asked whether it shows images of the same kind."""
    poisoned = []
    for one in nodes():
        X = one.X.copy()
        X[one.testing()] = X[one.testing()][:, ::-1]  # mirrored, which no digit survives
        poisoned.append(dataclasses.replace(one, X=X))
    found = gather(poisoned)
    assert not seen.shift.shifted and seen.elsewhere is None and seen.test == 100
    assert found.shift.shifted and found.elsewhere.here == pytest.approx(1 - seen.linear_accuracy, abs=0.05)
    other = {"shift", "elsewhere"}
    assert {k: v for k, v in found.to_json().items() if k not in other} == {
        k: v for k, v in seen.to_json().items() if k not in other
    }


def test_an_earlier_node_that_is_better_is_told_from_luck():
    good, poor = nodes()[2], nodes()[0]
    early = dataclasses.replace(good, fingerprint=dataclasses.replace(good.fingerprint, node="layer1"))
    late = dataclasses.replace(poor, fingerprint=dataclasses.replace(poor.fingerprint, node="avgpool"))
    found = gather([early, late])
    assert (found.best, found.last) == (0, 1) and found.earlier_p < 1e-3
    assert found.last_accuracy == found.nodes[1].accuracy < found.linear_accuracy


def test_a_class_of_one_source_is_said_not_to_be_judged_and_what_is_told_is_of_the_others():
    good = nodes()[2]
    groups = np.arange(len(good))
    groups[good.y == 3] = len(good)
    found = gather([good], groups=groups)
    assert found.unjudged == (good.classes[3],)
    counts = np.bincount(good.y[good.training()])
    assert found.chance == np.delete(counts, 3).max() / (counts.sum() - counts[3])
    if found.doubled is not None:
        accuracy, low, high = found.doubled
        assert low <= accuracy <= high and accuracy > found.linear_accuracy - 0.05
    advice = judge(found)
    low, high = advice.expected_gain_ci
    assert low <= advice.expected_gain <= high
    assert advice.reasons[0].startswith(f"No fold judges 1 class ({good.classes[3]}), for all images there are of one")
    assert gather([good]).unjudged == ()


def test_a_class_of_one_image_is_not_called_one_of_one_source():
    (good,) = nodes()[2:]
    train = np.intersect1d(good.training(), np.flatnonzero(good.y == 3))
    rows = np.setdiff1d(np.arange(len(good)), train[1:])
    found = gather([good.subset(rows)])
    assert found.single == found.unjudged == (good.classes[3],) and found.untrained == ()
    assert any(said.startswith(f"1 class ({good.classes[3]}) has one training image") for said in judge(found).reasons)


@pytest.mark.parametrize("grouped", [False, True])
def test_validation_images_are_those_that_a_fine_tune_holds_out(grouped):
    (good,) = nodes()[2:]
    groups = np.arange(len(good)) // 3 if grouped else None
    named = dataclasses.replace(good, groups=tuple(f"g{i // 3}" for i in range(len(good))) if grouped else ())
    start = starting_point(named, fraction=FineTuneSettings.valid_fraction, seed=0, groups=None if grouped else "none")
    assert gather([good], groups=groups).validation == len(start.valid)
    parts = np.array(["train", "train", "val", "test"])[np.arange(len(good)) % 4]
    parted = gather([dataclasses.replace(good, splits=parts)])
    assert (parted.validation, parted.validation_given) == ((parts == "val").sum(), True)


def test_wrong_labels_are_counted_with_an_interval(seen):
    (good,) = nodes()[2:]
    y = good.y.copy()
    wrong = np.random.default_rng(0).permutation(len(y))[: len(y) // 5]
    y[wrong] = (y[wrong] + 3) % 10
    noisy = gather([dataclasses.replace(good, y=y)])
    assert noisy.noise.low < 0.2 < noisy.noise.high and noisy.noise.share > seen.noise.high
    assert noisy.to_json()["label_noise"] == noisy.noise.share


def test_sources_are_kept_together():
    (good,) = nodes()[2:]
    twice = np.repeat(np.arange(len(good) // 2), 2)
    sources = len(np.unique(twice[good.training()]))
    assert gather([good], groups=twice, groups_text="auto").sources == sources < len(good.training())


def test_the_distance_falls_back_on_what_is_there(seen):
    assert seen.domain.distance is not None and seen.to_json()["domain"]["distance"] == seen.distance
    (good,) = nodes()[2:]
    alone = gather([good])
    assert alone.domain.distance is None and alone.distance < 0.5
    assert gather([good], statistics=StatisticsDistance(0.5, images=64, reference="running statistics")).distance == 1


def test_nodes_of_other_images_are_refused():
    first, _, last = nodes()
    with pytest.raises(FeaturesError, match="node avgpool has other rows than layer2; extract both for all images"):
        gather([first, last.subset(np.arange(100))])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("power", [-100, 63])
def test_another_unit_changes_nothing_that_is_concluded(power, seen):
    scaled = [dataclasses.replace(one, X=np.ldexp(one.X, power)) for one in nodes()]
    assert gather(scaled).to_json() == seen.to_json()


@pytest.mark.filterwarnings("error")
def test_zero_constant_and_wild_features_do_no_harm():
    wild = []
    for one in nodes(200):
        n = len(one.X)
        odd = [np.zeros((n, 2)), np.full((n, 1), 7.1), 1e19 * one.X[:, 5:6], 1e-30 * one.X[:, 6:7]]
        wild.append(dataclasses.replace(one, X=np.hstack([one.X, *odd]).astype(np.float32)))
    found, plain = gather(wild), gather(nodes(200))
    assert found.linear_accuracy == pytest.approx(plain.linear_accuracy, abs=0.05)
    assert found.knn_accuracy == pytest.approx(plain.knn_accuracy, abs=0.05)
    json.dumps(found.to_json(), allow_nan=False)
