"""Bytes of image files to network input, in processes that may crash, hang or run out of memory without harm.

May import `errors`, `system`, `sources` and `images`. No torch but in what decodes on a GPU (`nvjpeg_*`):
the workers stay small.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.decoding.nvjpeg_pool import open_pool as open_pool
    from featstore.decoding.pixels.transform import TransformSpec as TransformSpec
    from featstore.decoding.pool import DecodePool as DecodePool
    from featstore.decoding.scheduler import Batch as Batch

__getattr__, __dir__ = lazy_exports(__name__)
