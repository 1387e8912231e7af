"""featstore: images -> features on disk.

Rooms, from the bottom: `system` (files, memory, processes), `images` (which files, labels, parts), `store` (features on
disk), `decoding` (bytes to network input), `backbone` (frozen networks), `engines` (run one fast), `extract` (the job).
Each may import from those before it. Importing this package loads neither torch nor h5py; the names below are imported
when first used.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.features import FeatureSet as FeatureSet
    from featstore.images.image_set import ImageSet as ImageSet
    from featstore.store.feature_store import FeatureStore as FeatureStore

__getattr__, __dir__ = lazy_exports(__name__)

__version__ = "0.1.0"
__all__ = ["FeatureSet", "FeatureStore", "ImageSet", "__version__"]
