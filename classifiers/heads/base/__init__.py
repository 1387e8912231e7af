"""What all heads share: their input checked, their search over folds, their state.

May import `validation`, and what that may import; no head.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.heads.base.fold_search import SearchedHead as SearchedHead
    from classifiers.heads.base.head import Head as Head

__getattr__, __dir__ = lazy_exports(__name__)
