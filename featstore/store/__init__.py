"""Features on disk: what is committed under which key, written for good, read back checked.

Its own rooms, from the bottom: `format` (the bytes of each kind of file), `tables` (what is committed), `maintenance`
(what looks after a store). May import these, `errors`, `system`, `fingerprint`, `features` and `images`; takes
a `Fingerprint`, never a network.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.store.feature_info import FeatureInfo as FeatureInfo
    from featstore.store.feature_store import FeatureStore as FeatureStore
    from featstore.store.feature_stream import FeatureStream as FeatureStream

__getattr__, __dir__ = lazy_exports(__name__)
