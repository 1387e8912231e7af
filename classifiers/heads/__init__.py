"""What can be trained on features: classifiers in scikit-learn's contract whose `fit` includes their search.

Its own rooms, from the bottom: `base` (what heads share), `linear` (logistic regression and the linear SVM). May import
its own rooms, and what these may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.heads.baselines import MajorityHead as MajorityHead, PixelsHead as PixelsHead
    from classifiers.heads.boosting import LightGBMHead as LightGBMHead
    from classifiers.heads.centroid import CentroidHead as CentroidHead
    from classifiers.heads.forest import ForestHead as ForestHead
    from classifiers.heads.knn import KNNHead as KNNHead
    from classifiers.heads.mlp import MLPHead as MLPHead
    from classifiers.heads.registry import HEADS as HEADS, HeadInfo as HeadInfo, make_head as make_head
    from classifiers.heads.svm_rbf import RBFHead as RBFHead

__getattr__, __dir__ = lazy_exports(__name__)
