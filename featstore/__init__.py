"""featstore: images -> features on disk.

Importing this package loads neither torch nor h5py; the three names below are imported when first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featstore.features import FeatureSet
    from featstore.images.image_set import ImageSet
    from featstore.store.feature_store import FeatureStore

__version__ = "0.1.0"
__all__ = ["FeatureSet", "FeatureStore", "ImageSet", "__version__"]

_HOMES = {"FeatureSet": "features", "FeatureStore": "store", "ImageSet": "imageset"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featstore' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"featstore.{_HOMES[name]}"), name)
