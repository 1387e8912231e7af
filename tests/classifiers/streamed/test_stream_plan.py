import numpy as np

from classifiers.streamed.feature_rows import ArrayRows
from classifiers.streamed.stream_plan import stream_plan


def test_more_heads_take_more_passes_and_time():
    rows = ArrayRows(np.zeros((5000, 64), np.float32))
    one = stream_plan(rows, 10, ["logistic"], 3, "normal", 10**9)
    two = stream_plan(rows, 10, ["logistic", "svm", "knn", "mlp"], 3, "normal", 10**9)
    assert one.size == 4 * 5000 * 64 and two.passes > one.passes and one.time > 0
    assert one.sampled == () and two.sampled == ("knn",)


def test_its_sentence_names_bytes_passes_and_time():
    text = stream_plan(ArrayRows(np.zeros((100, 8), np.float32)), 2, ["knn", "forest"], 3, "quick", 2 * 10**9).text()
    assert text.startswith("Streaming 0.0 GB of features, for 2.0 GB of memory is free: about 3 passes over them")
    assert text.endswith("knn and forest learn from as many images as memory holds.")
