import numpy as np

from classifiers.streamed.feature_source import without_features
from tests.support.feature_sets import feature_set


def test_everything_but_the_features_is_kept():
    whole = feature_set(np.ones((4, 3)), [0, 1, 0, 1], splits=["train", "test", "train", "train"])
    bare = without_features(whole)
    assert bare.X.shape == (4, 0) and bare.ids == whole.ids and bare.fingerprint == whole.fingerprint
    assert np.array_equal(bare.y, whole.y) and bare.testing().tolist() == [1]
