"""Files, memory, processes: what the machine does for every other room, and how work speaks to people.

May import `errors`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.system.download import fetch as fetch
    from featstore.system.machine import usable_cores as usable_cores
    from featstore.system.reporting import (
        Progress as Progress,
        StageProgress as StageProgress,
        printable_path as printable_path,
        silent as silent,
    )
    from featstore.system.user_cache import cache_folder as cache_folder

__getattr__, __dir__ = lazy_exports(__name__)
