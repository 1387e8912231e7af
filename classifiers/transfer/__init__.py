"""Fine-tuning from end to end, for data whose cache is not enough.

May import `advice`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.transfer.fine_tuning import finetune as finetune
    from classifiers.transfer.result import FineTuneResult as FineTuneResult

__getattr__, __dir__ = lazy_exports(__name__)
