"""The cached nodes of one network: which are read, in which order, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import save_file
from torchvision.models import mobilenet_v3_small

from classifiers.advice.advisor import advise
from classifiers.advice.cached_nodes import ENOUGH_NODES, backbone_of, cached_nodes, missing_landmarks
from featstore.backbone.landmarks import landmarks
from featstore.backbone.weights_file import TUNED_MARK
from featstore.errors import AmbiguousFeaturesError, FeaturesError, StoreNotFoundError, UnknownNameError
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from featstore.system import machine
from tests.support.feature_sets import feature_set
from tests.support.pictures import encode, texture, write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "input_size": 32, "engine": "eager", "workers": 0}


def test_more_than_there_is_memory_for_is_refused_before_anything_is_computed(tones, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 300_000)
    with pytest.raises(FeaturesError, match=r"advising on 48 images of 512 features in 3 classes needs about .* free"):
        advise(FeatureStore(tones / "store"), device="cpu", workers=0, nodes=("avgpool",))


def test_what_is_not_there_is_said(tones):
    with pytest.raises(StoreNotFoundError, match="featstore info"):
        advise(FeatureStore(tones / "store"), backbone="vgg16")


@pytest.fixture
def place(tmp_path):
    """Few images, and a store with three nodes of one network, cached from the last to the first."""
    write_tree(tmp_path / "images", each=2)
    for nodes in (("avgpool",), ("features.11", "features.2")):
        extract(tmp_path / "images", tmp_path / "s", weights="none", nodes=nodes, **NETWORK)
    return tmp_path


def read(place, nodes=(), dataset=None, **selectors):
    sets, _ = cached_nodes(FeatureStore(place / "s"), dataset, nodes, selectors)
    return sets


def names(sets):
    return [one.fingerprint.node for one in sets]


def test_nodes_come_in_the_order_of_the_network(place):
    assert names(read(place)) == ["features.2", "features.11", "avgpool"]
    assert names(read(place, ("avgpool", "features.2"), "images")) == ["features.2", "avgpool"]
    assert names(read(place, node="features.11")) == ["features.11"]


def test_what_fits_nothing_is_said_with_the_data_set_and_where_to_look(place):
    with pytest.raises(
        StoreNotFoundError, match=r"no feature set of 'images' in .*s fits; `featstore info .*s` lists what is there"
    ):
        read(place, ("features.5",))
    with pytest.raises(UnknownNameError, match="image"):
        read(place, dataset="imag")


@pytest.mark.parametrize("other", [{"weights_seed": 9}, {"pool": "max", "nodes": ("features.11",)}])
def test_two_networks_or_poolings_are_one_too_many_and_a_selector_chooses(place, other):
    extract(place / "images", place / "s", weights="none", **NETWORK | other)
    with pytest.raises(AmbiguousFeaturesError, match=r"several networks or poolings: .*; .* choose with `backbone`"):
        read(place)
    chosen = {"weights": "random (seed 0)"} if "weights_seed" in other else {"pool": "avg"}
    assert names(read(place, **chosen)) == ["features.2", "features.11", "avgpool"]


def test_a_fine_tuned_network_is_left_aside_unless_it_is_named(place):
    weights = place / "tuned.weights.safetensors"
    torch.manual_seed(1)
    save_file(mobilenet_v3_small().state_dict(), weights, metadata={TUNED_MARK: "{}"})
    extract(place / "images", place / "s", weights=str(weights), **NETWORK)
    assert len(read(place)) == 3
    (tuned,) = read(place, weights=weights.name)
    assert tuned.fingerprint.tuned
    assert read(place, key=tuned.fingerprint.key)[0].fingerprint == tuned.fingerprint


def test_features_that_lack_images_are_left_out_and_where_there_are_no_others_that_is_said(place):
    (place / "images" / "ants" / "new.png").write_bytes(encode(texture(77), "PNG"))
    extract(place / "images", place / "s", weights="none", **NETWORK)
    assert names(read(place)) == ["avgpool"]
    with pytest.raises(
        StoreNotFoundError, match=r"1 of 5 images of data set 'images' have no features of .* yet, first .*new\.png"
    ):
        read(place, ("features.2",))


def test_the_network_is_the_one_that_made_the_features_or_the_same_cut_elsewhere(place):
    for features in read(place):
        backbone = backbone_of(features, None)
        assert backbone.nodes == (features.fingerprint.node,)
        assert backbone.fingerprints()[features.fingerprint.node].key == features.fingerprint.key
    keys = [features.fingerprint.key for features in read(place)]
    elsewhere = backbone_of(read(place)[0], None, ("features.2", "features.11", "avgpool"))
    assert [fingerprint.key for fingerprint in elsewhere.fingerprints().values()] == keys


def test_a_network_from_a_weights_file_is_found_where_the_file_is_now(place):
    torch.manual_seed(1)
    save_file(mobilenet_v3_small().state_dict(), place / "net.safetensors")
    extract(place / "images", place / "s", weights=str(place / "net.safetensors"), **NETWORK)
    (features,) = read(place, weights="net.safetensors")
    moved = (place / "net.safetensors").rename(place / "moved.safetensors")
    assert backbone_of(features, moved).weights.sha256 == features.fingerprint.weights_sha256


@settings(max_examples=40, deadline=None)
@given(cached=st.sets(st.sampled_from(["conv1", "layer1.0", *landmarks("resnet18")]), min_size=1))
def test_of_any_few_cached_nodes_the_missing_landmarks_are_named_and_of_more_none(cached):
    sets = [feature_set([[1.0], [2.0]], [0, 1], node=node) for node in sorted(cached)]
    missing = missing_landmarks(sets)
    if len(cached) > ENOUGH_NODES:
        assert missing == []
    else:
        assert missing == [node for node in ("layer1", "layer2", "layer3", "avgpool") if node not in cached]


def test_images_without_a_label_are_left_out_and_counted(place):
    store = FeatureStore(place / "s")
    images = store.imageset()
    labels = images.labels.copy()
    labels[0] = -1
    store.put_imageset(dataclasses.replace(images, labels=labels))
    sets, notes = cached_nodes(store, None, (), {})
    assert {len(one) for one in sets} == {len(images) - 1} and notes == ["1 image without a label took no part."]
    store.put_imageset(dataclasses.replace(images, labels=np.full(len(images), -1)))
    with pytest.raises(FeaturesError, match="no image of data set 'images' has a label"):
        cached_nodes(store, None, (), {})
