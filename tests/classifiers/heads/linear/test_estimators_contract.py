import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.heads.linear.estimators import LinearSVM, LinearSVMCV, SoftmaxRegression, SoftmaxRegressionCV


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([SoftmaxRegression(), LinearSVM(), SoftmaxRegressionCV(), LinearSVMCV()])
def test_linear_heads_keep_the_contract_of_scikit_learn(estimator, check):
    check(estimator)
