"""Where the bytes of images are: files, members of archives, cells of Parquet files, memory, addresses on the network.

May import `errors` and `system`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.sources.container import is_container as is_container
    from featstore.sources.memory import Spool as Spool
    from featstore.sources.reading import read as read

__getattr__, __dir__ = lazy_exports(__name__)
