"""A network and its features in a store."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v3_small

from classifiers.advice.cached_network import CachedNetwork
from featstore.backbone import Backbone
from featstore.backbone.weights_file import TUNED_MARK
from featstore.errors import AmbiguousFeaturesError, FeaturesError, StoreNotFoundError, UnknownNameError
from featstore.extract import extract
from featstore.images.reading import Reading
from featstore.store.feature_store import FeatureStore
from tests.support.pictures import encode, texture, write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "input_size": 32, "engine": "eager", "workers": 0}


@pytest.fixture
def place(tmp_path):
    write_tree(tmp_path / "images", each=4)
    for seed, name in enumerate(("net.safetensors", "tuned.weights.safetensors")):
        torch.manual_seed(seed)
        mark = {TUNED_MARK: "{}"} if name.startswith("tuned") else None
        save_file(mobilenet_v3_small().state_dict(), tmp_path / name, metadata=mark)
    extract(
        tmp_path / "images", tmp_path / "s", weights=str(tmp_path / "net.safetensors"),
        nodes=("features.3", "avgpool"), **NETWORK,
    )  # fmt: skip
    return tmp_path


def find(place, **more):
    options = {"dataset": None, "select": {}, "weights": None, "engine": "eager", "workers": 0, **more}
    return CachedNetwork.find(FeatureStore(place / "s"), place / "images", **options)


def test_of_several_nodes_the_penultimate_one_is_taken(place):
    network = find(place)
    assert network.features.fingerprint.node == "avgpool" and network.dataset == "images"
    assert network.backbone.widths == {"avgpool": 576}
    assert find(place, select={"node": "features.3"}).features.fingerprint.node == "features.3"


def test_an_image_that_is_not_cached_is_computed(place):
    before = len(find(place).features)
    (place / "images" / "ants" / "new.png").write_bytes(encode(texture(77), "PNG"))
    assert len(find(place).features) == before + 1


def test_siblings_are_the_other_nodes_of_the_same_network(place):
    extract(place / "images", place / "s", weights="none", weights_seed=9, **NETWORK)
    network = find(place, weights=place / "net.safetensors")
    nodes = [features.fingerprint.node for features in network.siblings()]
    assert nodes == ["avgpool", "features.3"]
    earlier = network.at(network.siblings()[1])
    assert earlier.backbone.nodes == ("features.3",)
    assert earlier.backbone.fingerprints()["features.3"].key == earlier.features.fingerprint.key


def test_networks_that_a_fine_tune_made_are_left_aside_unless_named(place):
    network = find(place)
    tuned = network.tuned(Backbone("mobilenet_v3_small", place / "tuned.weights.safetensors", input_size=32))
    assert tuned.features.fingerprint.weights == "fine-tuned tuned.weights.safetensors"
    assert not np.array_equal(tuned.features.X, network.features.X)
    assert find(place).features.fingerprint.key == network.features.fingerprint.key
    again = find(place, weights=place / "tuned.weights.safetensors")
    assert again.features.fingerprint.key == tuned.features.fingerprint.key


def test_several_networks_where_one_was_meant(place):
    extract(place / "images", place / "s", weights="none", weights_seed=9, **NETWORK)
    with pytest.raises(AmbiguousFeaturesError, match="`weights="):
        find(place)


def test_what_is_not_there(place):
    with pytest.raises(UnknownNameError, match="'imagez'; close matches: images"):
        find(place, dataset="imagez")
    with pytest.raises(StoreNotFoundError, match="resnet50"):
        find(place, select={"backbone": "resnet50"})


def of_list(place, store):
    """A list with two columns of labels, patients and an unlabelled row, extracted by one of the columns."""
    (place / "d").mkdir()
    rows = ["file,kind,colour,patient"]
    for i in range(8):
        (place / "d" / f"{i}.png").write_bytes(encode(texture(i), "PNG"))
        kind = "" if i == 7 else ("ant", "bee")[i % 2]
        rows.append(f"{i}.png,{kind},{('red', 'blue')[i // 4]},p{i // 2}")
    (place / "d" / "all.csv").write_text("\n".join(rows))
    reading = Reading(label_column="kind", group_column="patient", unlabelled=True)
    network = {**NETWORK, "weights": "none", "nodes": ("avgpool",)}
    extract(place / "d" / "all.csv", store, dataset="named", reading=reading, **network)
    return place / "d" / "all.csv"


def test_data_are_read_as_they_were_extracted_and_stay_what_they_are(tmp_path):
    data = of_list(tmp_path, tmp_path / "s")
    store = FeatureStore(tmp_path / "s")
    before = store.imageset("named")
    options = {"dataset": None, "select": {}, "weights": None, "engine": "eager", "workers": 0}
    network = CachedNetwork.find(store, data, **options)
    after = store.imageset("named")
    assert network.dataset == "named" and store.datasets() == ["named"] and len(network.features) == 7
    assert after.classes == ("ant", "bee") and after.groups == before.groups and len(after) == 8
    np.testing.assert_array_equal(after.labels, before.labels)


def test_other_labels_than_those_of_the_store_are_refused_and_change_nothing(tmp_path):
    data = of_list(tmp_path, tmp_path / "s")
    store = FeatureStore(tmp_path / "s")
    before = store.imageset("named")
    data.write_text(data.read_text().replace("0.png,ant", "0.png,bee"))
    options = {"dataset": None, "select": {}, "weights": None, "engine": "eager", "workers": 0}
    with pytest.raises(
        FeaturesError, match=r"1 image of 'named' has another class than in the store, such as 0.png: 'bee' now, 'ant'"
    ):
        CachedNetwork.find(store, data, **options)
    assert store.imageset("named").same_as(before)


def test_a_name_with_a_dot_is_that_of_extract_and_no_other_data_set_is_touched(tmp_path):
    network = {**NETWORK, "weights": "none", "nodes": ("avgpool",)}
    for name, seed in (("pets", 1), ("pets.v2", 500)):
        write_tree(tmp_path / name, each=3, seed=seed)
        extract(tmp_path / name, tmp_path / "s", **network)
    store = FeatureStore(tmp_path / "s")
    before = store.imageset("pets")
    options = {"dataset": None, "select": {}, "weights": None, "engine": "eager", "workers": 0}
    assert CachedNetwork.find(store, tmp_path / "pets.v2", **options).dataset == "pets.v2"
    assert store.imageset("pets").same_as(before) and sorted(store.datasets()) == ["pets", "pets.v2"]
    write_tree(tmp_path / "other", each=3, seed=900)
    with pytest.raises(UnknownNameError, match="other.*`dataset="):
        CachedNetwork.find(store, tmp_path / "other", **options)
    assert sorted(store.datasets()) == ["pets", "pets.v2"]
