"""Is the cache enough? The evidence in it, the advice, a pilot to see, and fine-tuning where it is not.

May import `comparison`, `training`, and what these may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.transfer.advisor import advise as advise
    from classifiers.transfer.decision import Advice as Advice
    from classifiers.transfer.evidence import Evidence as Evidence, gather as gather
    from classifiers.transfer.fine_tuning import finetune as finetune
    from classifiers.transfer.pilot import Pilot as Pilot, run_pilot as run_pilot
    from classifiers.transfer.result import FineTuneResult as FineTuneResult

__getattr__, __dir__ = lazy_exports(__name__)
