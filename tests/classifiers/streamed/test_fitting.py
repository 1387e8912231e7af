import numpy as np
import pytest

from classifiers.heads.registry import candidates
from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.fitting import fit_streamed
from classifiers.streamed.training import StreamedTraining


@pytest.mark.parametrize("name", candidates())
def test_every_head_can_be_fitted(name):
    rng = np.random.default_rng(0)
    y = np.sort(np.arange(400) % 3)
    X = (rng.standard_normal((400, 6)) + 3 * rng.standard_normal((3, 6))[y]).astype(np.float32)
    training, rows = StreamedTraining.of(ArrayRows(X), y, 3), []
    fitted = fit_streamed(name, training, memory=1 << 30, budget="quick", progress=rows.append)
    assert fitted.head.score(X, y) > 0.85
    assert fitted.rows == 400 and fitted.note == ""
    assert len(rows) == len(fitted.head.cv_results_) > 0
    assert fitted.out_of_fold.proba.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    state = type(fitted.head).from_state(*fitted.head.get_state())
    assert np.array_equal(state.predict(X), fitted.head.predict(X))
