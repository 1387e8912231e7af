"""Images of one source on both sides of a comparison: found by bytes, by features and by file names.

May import `validation`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.leakage.duplicate_groups import find_sources as find_sources
    from classifiers.leakage.filename_groups import find_stems as find_stems
    from classifiers.leakage.leaks import Leaks as Leaks, find_leaks as find_leaks
    from classifiers.leakage.near_duplicates import find_look_alikes as find_look_alikes

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "duplicate_groups": "find_sources",
        "filename_groups": "find_stems",
        "leaks": "Leaks find_leaks",
        "near_duplicates": "find_look_alikes",
    },
)
