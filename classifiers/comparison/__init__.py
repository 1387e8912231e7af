"""Several heads on the same folds, each judged once, as one report.

May import `models`, `streamed`, `heads`, `leakage`, `report`, and what these may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.comparison.bundle_evaluation import evaluate_bundle as evaluate_bundle
    from classifiers.comparison.evaluate import Run as Run
    from classifiers.comparison.job import compare as compare

__getattr__, __dir__ = lazy_exports(__name__)
