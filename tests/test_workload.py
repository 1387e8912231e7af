import numpy as np
import pytest

from classifiers import make_head
from classifiers.workload import MOST_NUMBERS, check_logits
from featstore.errors import FeaturesError


def test_the_limit_itself_is_allowed():
    check_logits(MOST_NUMBERS // 1000, 1000, "mlp")


@pytest.mark.parametrize("head", ["logistic", "svm", "mlp"])
def test_more_logits_than_fit_are_refused_with_their_number(head):
    y = np.repeat(np.arange(10_000), 2)
    said = (
        f"{head} works on .*20,000 training images x 10,000 classes are 200 million, .*100 million; use centroid or knn"
    )
    with pytest.raises(FeaturesError, match=said):
        make_head(head).fit(np.zeros((20_000, 2), dtype=np.float32), y)
