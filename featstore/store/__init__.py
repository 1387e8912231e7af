"""Features on disk: what is committed under which key, written for good, read back checked.

`format` holds the bytes of each kind of file, `maintenance` what looks after a store. May import `system`,
`fingerprint`, `features` and `images`; takes a `Fingerprint`, never a network.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.store.feature_info import FeatureInfo as FeatureInfo
    from featstore.store.feature_store import FeatureStore as FeatureStore
    from featstore.store.snapshot import Snapshot as Snapshot
    from featstore.store.table import FeatureTable as FeatureTable

__getattr__, __all__ = lazy_exports(
    __name__,
    {"feature_info": "FeatureInfo", "feature_store": "FeatureStore", "snapshot": "Snapshot", "table": "FeatureTable"},
)
