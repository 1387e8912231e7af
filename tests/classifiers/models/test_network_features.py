"""Features without a store; what they are worth is tested where they are used."""

import numpy as np
import pytest

from classifiers.models.bundle import load_bundle
from classifiers.models.network_features import network_features
from classifiers.models.trained_head import train
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
