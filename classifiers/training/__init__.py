"""The training loop of a reopened network: what is open, what it is fed, steps, epochs, checkpoints.

May import `models`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.training.augment import Augmentation as Augmentation
    from classifiers.training.learner import Learner as Learner
    from classifiers.training.regimes import REGIMES as REGIMES, FineTuneSettings as FineTuneSettings
    from classifiers.training.trainer import Trainer as Trainer
    from classifiers.training.unfreezing import UnfrozenNetwork as UnfrozenNetwork

__getattr__, __dir__ = lazy_exports(__name__)
