"""The bytes of a store's files, to be read with docs/format.md at hand: arrays and documents in, bytes out, and back.

May import `errors`, `system`, `fingerprint` and `images`. Nothing here knows where in a store a file lies.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.store.format.container import pack as pack, unpack as unpack
    from featstore.store.format.manifest import Manifest as Manifest
    from featstore.store.format.rows import Rows as Rows
    from featstore.store.format.sealed import seal as seal, unseal as unseal
    from featstore.store.format.shard import ShardEntry as ShardEntry

__getattr__, __dir__ = lazy_exports(__name__)
