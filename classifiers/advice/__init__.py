"""Is the cache enough? The evidence in it, the advice, and a pilot to see.

May import `comparison`, `training`, and what these may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.advice.advisor import advise as advise
    from classifiers.advice.decision import Advice as Advice
    from classifiers.advice.evidence import Evidence as Evidence, gather as gather
    from classifiers.advice.pilot import Pilot as Pilot, run_pilot as run_pilot

__getattr__, __dir__ = lazy_exports(__name__)
