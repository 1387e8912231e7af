"""The network of a bundle, known without building it while its weights stay what they were."""

import dataclasses
import shutil

import pytest
from safetensors.torch import load_file, save_file

from classifiers.models import bundle_network as bundle_networks
from classifiers.models.bundle import load_bundle
from classifiers.models.bundle_network import bundle_network, known_place
from classifiers.models.trained_head import train
from featstore.backbone import Backbone
from featstore.engines.deferred_backbone import deferred_backbone
from featstore.errors import FingerprintMismatchError, WeightsNotFoundError
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from tests.support.pictures import write_tree


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache folder that is empty and goes away."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle and the weights file that it names."""
    place = tmp_path_factory.mktemp("made")
    write_tree(place / "images", each=4)
    file = place / "w.safetensors"
    save_file(Backbone("mobilenet_v3_small", "none").network.state_dict(), file)
    network = {"backbone": "mobilenet_v3_small", "weights": file, "input_size": 32}
    extract(place / "images", place / "s", engine="eager", workers=0, **network)
    train(FeatureStore(place / "s").read(), "centroid", budget="quick", folds=2).save(place / "b", weights=file)
    return place / "b", file


@pytest.fixture
def here(made, tmp_path):
    """Copies that may be spoilt."""
    for path in made:
        shutil.copy(path, tmp_path)
    return load_bundle(tmp_path / "b"), tmp_path / "w.safetensors"


@pytest.fixture
def built(monkeypatch):
    calls, really = [], bundle_networks.open_backbone
    monkeypatch.setattr(bundle_networks, "open_backbone", lambda *given: calls.append(1) or really(*given))
    return calls


def test_the_second_time_nothing_is_built(here, built):
    bundle, file = here
    for _ in range(2):
        network = bundle_network(bundle)
        assert [f.key for f in network.specs.fingerprints.values()] == [bundle.fingerprint.key]
        assert network.transform.crop == 32 and network.by_name and built == [1]
    assert known_place(bundle) == file
    assert network.backbone.weights.path == file and built == [1, 1]


def test_what_an_extraction_saw_is_enough(here, built):
    bundle, file = here
    request = {"weights": str(file), "nodes": ("avgpool", "features.3"), "input_size": 32}
    deferred_backbone("mobilenet_v3_small", "fp32", request, lambda: Backbone("mobilenet_v3_small", **request))
    network = bundle_network(bundle)
    assert network.nodes == ("avgpool",) and network.widths == {"avgpool": 576} and built == []
    assert list(network.specs.fingerprints.values()) == [bundle.fingerprint]
    recipe = {**bundle.recipe, "transform": {**bundle.recipe["transform"], "resize": 99}}
    with pytest.raises(FingerprintMismatchError, match="the recipe in the bundle makes the features"):
        bundle_network(dataclasses.replace(bundle, recipe=recipe))


def test_a_weights_file_that_changed_is_read_again_and_refused(here, built):
    bundle, file = here
    bundle_network(bundle)
    state = load_file(file)
    state["features.0.0.weight"] += 1
    save_file(state, file)
    with pytest.raises(FingerprintMismatchError, match="hold tensors with the SHA-256"):
        bundle_network(bundle)


def test_one_that_is_gone_is_told_also_where_it_was_known(here):
    bundle, file = here
    bundle_network(bundle, file)
    file.unlink()
    with pytest.raises(WeightsNotFoundError, match="does not exist"):
        bundle_network(bundle, file)


def test_other_weights_that_are_known_are_refused_all_the_same(here, tmp_path):
    """What is known of a file says that it is another network: so does the sentence."""
    bundle, _ = here
    other = tmp_path / "other.safetensors"
    save_file(Backbone("mobilenet_v3_small", "none", seed=1).network.state_dict(), other)
    for _ in range(2):
        with pytest.raises(FingerprintMismatchError, match="hold tensors with the SHA-256"):
            bundle_network(bundle, other)
