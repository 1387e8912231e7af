"""Linear classifiers by Newton's method: many strengths C and all folds at once, each with a certificate.

May import `heads.base`, and what that may import; no other head.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.heads.linear.estimators import (
        LinearSVM as LinearSVM,
        LinearSVMCV as LinearSVMCV,
        SoftmaxRegression as SoftmaxRegression,
        SoftmaxRegressionCV as SoftmaxRegressionCV,
    )

__getattr__, __dir__ = lazy_exports(__name__)
