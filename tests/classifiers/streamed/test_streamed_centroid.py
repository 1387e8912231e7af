import numpy as np
import pytest

from classifiers.heads.centroid import CentroidHead
from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.streamed_centroid import fit_centroid
from classifiers.streamed.training import StreamedTraining
from classifiers.validation.splits import stratified_folds


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("k", [2, 5])
def test_the_streamed_head_is_the_head_in_memory(k, class_weight):
    rng = np.random.default_rng(0)
    y = np.minimum(rng.integers(0, 2 * k, 1500), k - 1)
    X = (7 + rng.standard_normal((1500, 9)) * 2 + rng.standard_normal((k, 9))[y]).astype(np.float32)
    X[:, 4] = 3.0
    folds = stratified_folds(y, 3, 0)
    memory = CentroidHead(cv=folds, class_weight=class_weight).fit(X, y)
    streamed = CentroidHead(class_weight=class_weight)
    training = StreamedTraining.of(ArrayRows(X), y, folds)
    found = fit_centroid(streamed, training)
    assert streamed.best_params_ == memory.best_params_ and training.passes == 1
    assert streamed.predict_proba(X) == pytest.approx(memory.predict_proba(X), abs=1e-4)
    assert found.proba == pytest.approx(memory.oof_proba_, abs=1e-4)
    again = CentroidHead.from_state(*streamed.get_state())
    assert np.array_equal(again.predict_proba(X), streamed.predict_proba(X))
