"""A store looked after: every byte verified, damage repaired, small shards merged, leftovers removed.

May import `store.tables`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.store.maintenance.compaction import Compaction as Compaction
    from featstore.store.maintenance.garbage import Garbage as Garbage
    from featstore.store.maintenance.repair import Repair as Repair
    from featstore.store.maintenance.verification import Problem as Problem, Verification as Verification

__getattr__, __dir__ = lazy_exports(__name__)
