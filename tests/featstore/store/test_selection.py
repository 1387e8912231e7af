import pytest

from featstore import FeatureStore
from featstore.errors import AmbiguousFeaturesError, StoreNotFoundError
from featstore.fingerprint import TUNED
from featstore.store.selection import FeatureSelection
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

LAST, EARLY = fingerprint(), fingerprint(node="layer3")
TUNED_LAST = fingerprint(weights=f"{TUNED} pets.weights.safetensors", weights_sha256="ab" * 32)


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "store", create=True)
    store.put_imageset(images("abcd"))
    for one, names in ((LAST, "abcd"), (EARLY, "abcd"), (TUNED_LAST, "abc")):
        store.commit(one, rows(names), PROVENANCE)
    return store


def keys(infos):
    return {info.key for info in infos}


def test_every_feature_set_that_fits_and_one_at_each_node_at_least(store):
    assert keys(FeatureSelection(store, {"pool": None}).every()) == {LAST.key, EARLY.key, TUNED_LAST.key}
    both = FeatureSelection(store, {"weights": "IMAGENET1K_V1"}, ("layer3", "avgpool", "layer3")).every()
    assert [info.key for info in both] == [EARLY.key, LAST.key]
    with pytest.raises(
        StoreNotFoundError, match='holds no features with `pool="avg"` `node="layer1"`; it holds `backbone='
    ):
        FeatureSelection(store, {"pool": "avg"}, ("avgpool", "layer1")).every()


def test_fine_tuned_networks_are_left_aside_unless_weights_or_key_name_one(store):
    assert keys(FeatureSelection(store, {}).untuned()) == {LAST.key, EARLY.key}
    assert keys(FeatureSelection(store, {}, ("avgpool", "layer1")).untuned()) == {LAST.key}
    for named in ({"weights": "ab" * 32}, {"key": TUNED_LAST.key[:8]}):
        assert keys(FeatureSelection(store, named).untuned()) == {TUNED_LAST.key}
    assert FeatureSelection(store, {"backbone": "vgg16"}).untuned() == []


def test_the_only_one_is_the_usual_node_of_the_original_network(store):
    assert FeatureSelection(store, {}).only(None, "avgpool").key == LAST.key
    assert FeatureSelection(store, {"node": "layer3"}).only("pets", "avgpool").key == EARLY.key
    assert FeatureSelection(store, {"weights": "ab" * 32}).only(None, "avgpool").key == TUNED_LAST.key
    assert FeatureSelection(store, {"key": EARLY.key}).only(None, "avgpool").key == EARLY.key
    with pytest.raises(AmbiguousFeaturesError, match="2 feature sets .* choose with `node="):
        FeatureSelection(store, {}).only(None, "flatten")


def test_what_is_not_complete_is_named_beside_what_is_read(store):
    selection = FeatureSelection(store, {}, ("avgpool",))
    found, incomplete = selection.read("pets", selection.every())
    assert [features.fingerprint.key for features in found] == [LAST.key] and len(found[0]) == 4
    (error,) = incomplete
    assert isinstance(error, StoreNotFoundError) and "fine-tuned pets" in str(error)


def test_a_stream_is_of_the_feature_set_that_is_named(store):
    selection = FeatureSelection(store, {})
    info = next(info for info in selection.held if info.key == EARLY.key)
    stream = selection.stream("pets", info, 3)
    assert stream.fingerprint == EARLY and [len(X) for _, X in stream] == [3, 1]
    tuned = next(info for info in selection.held if info.key == TUNED_LAST.key)
    with pytest.raises(StoreNotFoundError, match="1 of 4 images"):
        selection.stream("pets", tuned)
