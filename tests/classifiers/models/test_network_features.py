"""Features without a store; what they are worth is tested where they are used."""

import numpy as np
import pytest

from classifiers.models.bundle import load_bundle
from classifiers.models.network_features import network_features
from classifiers.models.trained_head import train
from featstore.errors import FingerprintMismatchError
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from featstore.system.reporting import silent
from tests.support.pictures import write_tree

NETWORK = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    write_tree(place / "images", each=4)
    extract(place / "images", place / "s", engine="eager", workers=0, **NETWORK)
    store = FeatureStore(place / "s")
    train(store.read(), "centroid", budget="quick", folds=2).save(place / "b")
    return load_bundle(place / "b"), store


def test_they_are_those_of_the_store_and_a_changed_file_is_told(trained, tmp_path):
    bundle, store = trained
    images, features = store.imageset(), store.read()
    items = [(images.absolute(i), images.digests[i].tobytes()) for i in range(len(images))]
    items[3] = (items[3][0], bytes(32))
    X, reasons = network_features(bundle, items, engine="eager", workers=0, progress=silent)
    kept = [i for i in range(len(images)) if i != 3]
    np.testing.assert_allclose(X[kept], features.X[kept], atol=1e-5)
    assert [bool(reason) for reason in reasons] == [i == 3 for i in range(len(images))]
    assert not X[3].any()


def test_nothing_to_do_builds_no_network(trained):
    X, reasons = network_features(trained[0], [], weights="/no/such/file", progress=silent)
    assert X.shape == (0, trained[0].width) and reasons == []


def test_they_are_rounded_as_those_that_the_head_was_trained_on(trained, tmp_path):
    _, store = trained
    images = store.imageset()
    extract(images.root, store, store_dtype="fp16", engine="eager", workers=0, **NETWORK)
    train(store.read(store_dtype="fp16"), "centroid", budget="quick", folds=2).save(tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    items = [(images.absolute(i), images.digests[i].tobytes()) for i in range(len(images))]
    X, reasons = network_features(bundle, items, engine="eager", workers=0, progress=silent)
    np.testing.assert_array_equal(X, X.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(X, store.read(store_dtype="fp16").X, rtol=1e-3, atol=1e-5)
    assert not any(reasons)
    with pytest.raises(FingerprintMismatchError, match="store_dtype: fp16, not fp32"):
        bundle.predict_proba(store.read(store_dtype="fp32"))
