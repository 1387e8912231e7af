"""Heads fitted to features that do not fit in memory, in passes over them: `logistic`, `svm`, `centroid` and others.

May import `heads`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.streamed.feature_rows import ArrayRows as ArrayRows
    from classifiers.streamed.training import StreamedTraining as StreamedTraining

__getattr__, __dir__ = lazy_exports(__name__)
