"""What folders say of classes and parts: class folders, part folders, those that wrap, those that hold masks.

May import `errors`, `system`, `images` and `lists`. Nothing here knows a data set by its name.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.layouts.folders.class_folders import read_class_folders as read_class_folders
    from featstore.layouts.folders.place import Place as Place

__getattr__, __dir__ = lazy_exports(__name__)
