import numpy as np
import pytest

from classifiers.heads.mlp import MLPHead
from classifiers.streamed import streamed_mlp as module
from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.fitting import fit_streamed
from classifiers.streamed.streamed_mlp import components
from classifiers.streamed.training import StreamedTraining


def planted(n=3000, d=12, k=3):
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(0, k, n))
    centres = rng.standard_normal((2 * k, d))
    side = rng.integers(0, 2, n)  # two clouds a class: no line parts them
    return (centres[2 * y + side] + 0.6 * rng.standard_normal((n, d))).astype(np.float32), y


def test_it_learns_from_all_rows_what_a_sample_does_not_show():
    X, y = planted()
    test = np.arange(3000) % 3 == 0
    training = StreamedTraining.of(ArrayRows(X[~test]), y[~test], 3)
    fitted = fit_streamed("mlp", training, memory=16 * 12 * 150, budget="quick")
    alone = MLPHead(budget="quick", cv=3).fit(X[~test], y[~test])
    assert fitted.rows == 2000 and "chose how mlp is trained" in fitted.note
    assert fitted.head.certificate_["passes"] >= 4
    assert fitted.head.score(X[test], y[test]) > alone.score(X[test], y[test]) - 0.03
    again = MLPHead.from_state(*fitted.head.get_state())
    assert np.array_equal(again.predict_proba(X), fitted.head.predict_proba(X))


def test_components_are_those_of_numpy(monkeypatch):
    monkeypatch.setattr(module, "RANK", 4)
    X, y = planted()
    X[:, 3] = 2.0
    mean, matrix = components(StreamedTraining.of(ArrayRows(X), y, 3).sums)
    deviation = X.std(axis=0, dtype=np.float64)
    rows = np.divide(X - X.mean(axis=0), deviation, where=deviation > 1e-6, out=np.zeros_like(X))
    _, singular, right = np.linalg.svd(rows, full_matrices=False)
    scale = np.sqrt(len(X) / (singular[:4] ** 2).mean())
    found, wanted = (X - mean) @ matrix, rows @ right[:4].T * scale
    assert np.abs(found) == pytest.approx(np.abs(wanted), abs=1e-2)
