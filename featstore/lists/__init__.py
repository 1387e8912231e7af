"""Lists of images and labels as people write them: read, their columns understood, their paths found.

May import `errors`, `system`, `sources` and `images`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.lists.image_list import label_with_list as label_with_list, read_list as read_list
    from featstore.lists.table import Table as Table, read_table as read_table

__getattr__, __dir__ = lazy_exports(__name__)
