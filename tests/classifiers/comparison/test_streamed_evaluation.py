import numpy as np
import pytest

from classifiers.comparison.evaluate import evaluate
from classifiers.comparison.streamed_evaluation import evaluate_streamed
from classifiers.streamed.feature_source import without_features
from classifiers.streamed.training import StreamedTraining
from classifiers.validation.protocol import make_protocol
from tests.classifiers.comparison.test_streamed_job import planted


@pytest.mark.parametrize("head", ["centroid", "logistic"])
def test_a_run_is_that_of_the_features_in_memory(head):
    features = planted()
    plan = make_protocol(features, folds=3)
    train = plan.outer[0][0]
    training = StreamedTraining.of(features.subset(train), features.y[train], plan.inner[0])
    notes = []
    run = evaluate_streamed(
        head, features, without_features(features), plan, training, memory=1 << 30, budget="quick",
        progress=lambda share, note: notes.append((share, note)),
    )  # fmt: skip
    memory = evaluate(head, features, plan, budget="quick")
    assert np.array_equal(run.rows, memory.rows) and np.array_equal(run.y, memory.y)
    assert run.proba == pytest.approx(memory.proba, abs=0.03)
    assert run.dim == 10 and run.n_train == len(train)
    assert run.cv_accuracy == pytest.approx(memory.cv_accuracy, abs=0.01)
    assert notes and all(0 <= share <= 1 for share, _ in notes)
