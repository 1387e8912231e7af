"""How long a fine-tune will take, told before it starts."""

import re

import pytest
import torch

from classifiers.advice.cached_network import CachedNetwork
from classifiers.advice.cost import Cost, rough
from classifiers.models.image_classifier import ImageClassifier
from classifiers.training.data import TrainingData
from classifiers.training.unfreezing import UnfrozenNetwork
from classifiers.transfer.fine_tune_plan import FineTunePlan
from classifiers.transfer.time_told import time_told
from featstore.extract import extract
from featstore.images.samples import write_textures
from featstore.store.feature_store import FeatureStore

DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("told")
    images, store = write_textures(tmp_path / "textures", per_class=4), tmp_path / "store"
    extract(images, store, engine="eager", workers=0, backbone="mobilenet_v3_small", weights="none", input_size=32)
    return CachedNetwork.find(
        FeatureStore(store), images, dataset=None, select={}, weights=None, engine="eager", device="cpu", workers=0,
        progress=lambda *_: None,
    )  # fmt: skip


def planned(network, **given):
    return FineTunePlan.of(
        network, regime=4, head="logistic", budget="quick", device=DEVICE, given={"groups": "none", **given},
        progress=lambda *_: None,
    )  # fmt: skip


def measured_as(monkeypatch, **cost):
    """What is timed here otherwise, as it is wanted: nothing but what the test names takes any time."""
    decoding = {0: cost.pop("decoding", 0.0), 2: cost.pop("pool", 0.0)}
    known = {"seconds_per_image": 0.0, "frozen_seconds_per_image": 0.0, "device": "cpu", **cost}
    monkeypatch.setattr("classifiers.transfer.time_told.measure", lambda *_: Cost(**known))
    monkeypatch.setattr("classifiers.transfer.time_told._decoding", lambda _, workers: decoding[workers])
    monkeypatch.setattr("classifiers.transfer.time_told._saving", lambda *_: 0.0)


def test_it_names_epochs_images_and_what_comes_on_top(network, tmp_path):
    plan = planned(network, epochs=3, views=0)
    told = time_told(plan, DEVICE, workers=0, folder=tmp_path)
    assert re.fullmatch(
        rf"the training will take about \d+ seconds?: 3 epochs of (\d+ seconds?|less than a second) over "
        rf"{len(plan.start.fit)} images, plus (\d+ seconds?|less than a second) for decoding, the head and the tuned "
        rf"network's features; early stopping may end it sooner, a collapse that makes it begin again may prolong it",
        told,
    )
    assert not list(tmp_path.iterdir())


def test_the_training_is_every_epoch_over_every_image(network, tmp_path, monkeypatch):
    measured_as(monkeypatch, seconds_per_image=2.0)
    plan = planned(network, epochs=4)
    seconds = 2 * len(plan.start.fit)
    told = time_told(plan, DEVICE, workers=2, folder=tmp_path)
    tried = 2 * seconds  # rates: twice one step, which is an epoch of so few images
    assert told.startswith(
        f"the training will take about {rough(4 * seconds + tried)}: 4 epochs of {seconds} seconds over"
    )
    assert f"plus {rough(tried)} for" in told
    untried = time_told(planned(network, epochs=4, from_scratch=True), DEVICE, workers=2, folder=tmp_path)
    assert "plus less than a second for" in untried


def test_what_does_not_grow_with_the_data_is_counted_too(network, tmp_path, monkeypatch):
    """Two pools decode what trains and what validates; the tuned network, its engine and decoders are as many again."""
    measured_as(monkeypatch, pool=4.0)
    told = time_told(planned(network), DEVICE, workers=2, folder=tmp_path, head_seconds=3.0)
    assert "plus 31 seconds for decoding, the head and the tuned network's features" in told
    told = time_told(planned(network, reopen="head", views=0), DEVICE, workers=2, folder=tmp_path)
    assert "plus 8 seconds for decoding and the head;" in told


def test_each_view_of_cached_activations_is_decoded_by_a_pool_of_its_own(network, tmp_path, monkeypatch):
    measured_as(monkeypatch, pool=4.0, frozen_seconds_per_image=1e-9)
    plan = planned(network, reopen="head", views=3)
    told = time_told(plan, DEVICE, workers=2, folder=tmp_path)
    assert "plus 16 seconds for decoding and the head;" in told  # three views, and what validates
    unfrozen = UnfrozenNetwork(
        ImageClassifier(network.backbone, torch.nn.Linear(network.features.X.shape[1], 4), network.features.classes),
        "head",
    )
    TrainingData(
        unfrozen, plan.start, plan.settings, store=network.store.path, folder=tmp_path, device=DEVICE, workers=0
    ).loader()
    told = time_told(plan, DEVICE, workers=2, folder=tmp_path)
    assert "plus less than a second for decoding and the head;" in told  # all of it is in the store now


def test_a_checkpoint_an_epoch_is_counted(network, tmp_path, monkeypatch):
    measured_as(monkeypatch)
    monkeypatch.setattr("classifiers.transfer.time_told._saving", lambda *_: 2.0)
    told = time_told(planned(network, epochs=5, reopen="head"), DEVICE, workers=2, folder=tmp_path)
    assert told.startswith("the training will take about 12 seconds: 5 epochs of 2 seconds over")
