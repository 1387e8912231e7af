"""What a store has committed: the rows of a fingerprint, the image sets, and where each lies.

May import `store.format`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.store.tables.feature_table import FeatureTable as FeatureTable
    from featstore.store.tables.image_set_table import ImageSetTable as ImageSetTable
    from featstore.store.tables.snapshot import Snapshot as Snapshot

__getattr__, __dir__ = lazy_exports(__name__)
