"""What shards say of classes and parts: tar archives of samples (WebDataset), Parquet files of images.

May import `errors`, `system`, `sources` and `images`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.layouts.shards.webdataset import label_webdataset as label_webdataset

__getattr__, __dir__ = lazy_exports(__name__)
