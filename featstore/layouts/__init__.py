"""Layouts: what folders, file names and the lists beside them say of classes and parts; known data sets as unzipped.

Its own rooms are `folders` (class folders and part folders, where no data set is known by its names) and `shards`
(WebDataset and Parquet, whose files hold labels). May import these, `errors`, `system`, `images` and `lists`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.layouts.catalogue import LAYOUTS as LAYOUTS
    from featstore.layouts.labelling import label_tree as label_tree
    from featstore.layouts.layout import Layout as Layout

__getattr__, __dir__ = lazy_exports(__name__)
