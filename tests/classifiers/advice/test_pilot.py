"""A pilot on small real pictures: who trains, who judges, how long, and the numbers that it states."""

import copy
import dataclasses
import functools
import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classifiers.advice import pilot
from classifiers.advice.cost import Cost
from classifiers.advice.pilot import run_pilot
from classifiers.training.regimes import REGIMES
from featstore.backbone import Backbone
from featstore.errors import DeviceError, ImageSetError
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("dark", "light", "red")
FOUND = {
    "minutes": 1.0, "seconds": 60.0, "epochs": 10.0, "planned_epochs": 10, "trained": 300, "judged": 100,
    "accuracy_tuned": 0.9, "accuracy_last": 0.8, "accuracy_best": 0.82, "best_node": "layer3", "gain": 0.1,
    "gain_ci": (0.03, 0.17), "lead": 0.08, "lead_ci": (0.01, 0.15), "p": 0.01, "p_every": 0.02, "complete": True,
    "available": 300,
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("pilot"), np.random.default_rng(0)
    for split, each in (("train", 20), ("test", 2)):
        for k, name in enumerate(CLASSES):
            (root / "tones" / split / name).mkdir(parents=True)
            for i in range(each):
                picture = rng.normal((75, 115, 95)[k], 50, (40, 40, 3))
                picture[..., 0] += 20 * (k == 2)
                image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
                image.save(root / "tones" / split / name / f"{name}{split}{i}.png")
    extract(root / "tones", root / "store", backbone="mobilenet_v3_small", weights="none", input_size=32,
            nodes=("features.3", "avgpool"), engine="eager", workers=0)  # fmt: skip
    return root


@pytest.fixture
def last(place):
    return FeatureStore(place / "store").read(node="avgpool")


@pytest.fixture
def seen(monkeypatch):
    """What a pilot trains and judges on, and the settings that it takes; two epochs of it."""
    kept = {"starts": [], "regimes": [], "settings": [], "given": {"epochs": 2, "batch_size": 15}}
    point, settings = pilot.StartingPoint, pilot.settings_for

    def starting(*parts):
        kept["starts"].append(point(*parts))
        return kept["starts"][-1]

    def chosen(case, images, **given):
        kept["regimes"].append(case)
        kept["settings"].append(settings(case, images, **(kept["given"] | given)))
        return kept["settings"][-1]

    monkeypatch.setattr(pilot, "StartingPoint", starting)
    monkeypatch.setattr(pilot, "settings_for", chosen)
    monkeypatch.setattr(pilot, "measure", lambda *what: Cost(1e-6, 0.0, "cpu"))
    return kept


@functools.cache
def network():
    """As the features were computed with; a pilot is given a copy, for it trains it."""
    return Backbone("mobilenet_v3_small", "none", input_size=32)


def piloted(place, last, *earlier, **more):
    backbone = copy.deepcopy(network())
    options = {"minutes": 5.0, "regime": 3, "store": place / "store", "device": "cpu", "workers": 0}
    return run_pilot(backbone, [*earlier, last], **(options | more)), backbone


def planted(last, right):
    """An earlier node whose features tell the class of exactly these rows, and mislead about the others."""
    told = np.where(right, last.y, (last.y + 1) % 3)
    node = dataclasses.replace(last.fingerprint, node="features.3")
    return dataclasses.replace(last, X=(20 * np.eye(3)[told]).astype(np.float32), fingerprint=node)


def test_a_quarter_of_the_training_part_judges_and_the_rest_trains(place, last, seen):
    told = []
    found, backbone = piloted(place, last, progress=lambda *now: told.append(now))
    start = seen["starts"][-1]
    assert (found.trained, found.judged) == (len(start.fit), len(start.valid)) == (45, 15)
    assert sorted([*start.fit, *start.valid]) == last.training().tolist() and len(start.test) == 0
    assert np.bincount(last.y[start.valid]).tolist() == [5, 5, 5]
    assert (found.epochs, found.planned_epochs, found.complete, found.minutes) == (2, 2, True, 5.0)
    steps = [now for now in told if now[0] == "pilot"]
    assert [now[1:3] for now in steps] == [(step, 6) for step in range(1, 7)]  # 45 images, 15 a step, two epochs
    assert steps[-1][3].startswith("epoch 2, loss ")
    assert backbone.state_sha256() != network().state_sha256() == Backbone.from_recipe(backbone.recipe()).state_sha256()
    assert found.available == 45 and found.conclusive
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["gain_ci"] == list(found.gain_ci) and document["level"] == 0.95 and document["conclusive"] is True


def test_the_last_nodes_accuracy_is_a_linear_heads_on_the_images_that_judge(place, last, seen):
    found, _ = piloted(place, last, minutes=1e-9)
    fit, judged = seen["starts"][0].fit, seen["starts"][0].valid
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(last.X[fit], last.y[fit])
    assert found.accuracy_last == pytest.approx(model.score(last.X[judged], last.y[judged]), abs=2.01 / 15)
    assert (found.accuracy_best, found.best_node) == (found.accuracy_last, "avgpool")
    assert found.lead == found.gain and found.lead_ci == found.gain_ci


def test_training_that_moves_nothing_gains_nothing(place, last, seen):
    seen["given"] |= {"learning_rate": 0.0, "head_rate": 0.0, "augment": False}
    found, _ = piloted(place, last)
    assert found.epochs == 2 and found.accuracy_tuned == found.accuracy_last  # the cached features, seen anew
    assert (found.gain, found.lead, found.p) == (0.0, 0.0, 1.0)


def test_lead_interval_and_p_are_those_of_the_pairs(place, last, seen):
    best = planted(last, np.ones(len(last), dtype=bool))
    found, _ = piloted(place, last, best)
    tuned = round(found.accuracy_tuned * 15)
    assert tuned / 15 == found.accuracy_tuned and found.accuracy_best == 1 and found.best_node == "features.3"
    pairs = np.zeros(15)
    pairs[: 15 - tuned] = -1
    half = 1.96 * np.sqrt(((np.abs(pairs).sum() + 1) / 15 - pairs.mean() ** 2) / 15)
    assert found.lead == pytest.approx(pairs.mean())
    assert found.lead_ci == pytest.approx((max(-1, pairs.mean() - half), min(1, pairs.mean() + half)), abs=1e-4)
    assert found.p >= (binomtest(0, 15 - tuned).pvalue if tuned < 15 else 1.0) * (1 - 1e-9)
    assert found.gain == pytest.approx(found.accuracy_tuned - found.accuracy_last)
    assert found.gain_ci[0] <= found.gain <= found.gain_ci[1]


def test_it_has_to_beat_every_cached_head_and_the_best_of_them_on_the_images_that_judge(place, last, seen):
    piloted(place, last, minutes=1e-9)
    judged = seen["starts"][0].valid
    wrong, half = np.ones(len(last), dtype=bool), np.ones(len(last), dtype=bool)
    wrong[judged], half[judged[::2]] = False, False  # good in cross-validation, of no use on what judges
    sets = (planted(last, wrong), planted(last, half))
    found, _ = piloted(place, last, *sets)
    alone = [piloted(place, last, one)[0] for one in sets]
    assert found.accuracy_best == max(one.accuracy_best for one in alone) and found.accuracy_best >= found.accuracy_last
    assert found.lead == pytest.approx(min(one.lead for one in alone))
    assert found.p_every == max(one.p_every for one in alone)


@pytest.mark.parametrize(
    ("change", "pays", "conclusive"),
    [
        ({}, True, True),
        ({"p_every": 0.06}, False, True),
        ({"lead": 0.01}, False, True),
        ({"epochs": 0.9, "complete": False}, False, False),
        ({"epochs": 4.0, "complete": False}, True, False),
        ({"epochs": 5.0, "complete": False}, True, True),
        ({"epochs": 5.0, "complete": False, "trained": 260}, True, False),
    ],
)
def test_whether_it_pays_and_whether_it_may_close_the_network(change, pays, conclusive):
    found = pilot.Pilot(**(FOUND | change))
    assert (found.pays, found.conclusive) == (pays, conclusive)
    assert (found.to_json()["pays"], found.to_json()["conclusive"]) == (pays, conclusive)


@pytest.mark.parametrize(("regime", "taken"), [(1, 3), (2, 4), (4, 4)])
def test_a_small_regime_takes_the_rates_of_the_large_one_of_its_domain(place, last, seen, regime, taken):
    piloted(place, last, regime=regime, minutes=1e-9)
    assert {case.number for case in seen["regimes"]} == {taken} and seen["regimes"][0] is REGIMES[taken]
    assert all(settings.reopen == "all" for settings in seen["settings"])


def test_time_that_is_over_ends_it_after_the_step_at_hand(place, last, seen, monkeypatch):
    found, _ = piloted(place, last, minutes=1e-9)
    assert found.trained == 15 and found.epochs == 1.0 and not found.complete  # one batch, for there is no time
    assert found.of_a_part and found.to_json()["of_a_part"] is True and not found.conclusive
    monkeypatch.setattr(pilot, "measure", lambda *what: Cost(1e-9, 0.0, "cpu"))
    found, _ = piloted(place, last, minutes=1e-5)  # time for all by the measurement, which was wrong
    assert found.trained == 45 and found.epochs < 2 and not found.complete


def test_fewer_images_train_where_not_even_three_epochs_would_fit(place, last, seen, monkeypatch):
    monkeypatch.setattr(pilot, "measure", lambda *what: Cost(1.0, 0.0, "cpu"))
    found, _ = piloted(place, last, minutes=1.5)  # 90 seconds, a second an image: 30 images three times
    start = seen["starts"][-1]
    assert found.trained == len(start.fit) == 30 and found.judged == 15 and not found.complete
    assert set(start.fit) < set(seen["starts"][0].fit) and not set(start.fit) & set(start.valid)
    assert seen["settings"][-1].epochs == found.planned_epochs == 2


def test_images_of_one_source_are_on_one_side(place, last, seen):
    groups = np.arange(len(last)) // 4
    piloted(place, last, groups=groups, minutes=1e-9)
    start = seen["starts"][0]
    assert not set(groups[start.fit]) & set(groups[start.valid]) and len(start.valid) > 5
    assert start.groups is groups


def test_the_same_seed_gives_the_same_pilot_and_another_one_judges_by_other_images(place, last, seen):
    first, second = (piloted(place, last, seed=3)[0].to_json() for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    piloted(place, last, seed=4, minutes=1e-9)
    assert not np.array_equal(seen["starts"][0].valid, seen["starts"][-1].valid)


def test_what_cannot_be_trained_on_is_said(place, last, seen):
    with pytest.raises(ImageSetError, match=r"45 of 45 images .* cannot be decoded now, such as /nowhere/train/dark"):
        piloted(place, dataclasses.replace(last, root=b"/nowhere"))
    with pytest.raises(DeviceError, match="no device 'tpu' that torch can use"):
        piloted(place, last, device="tpu")
