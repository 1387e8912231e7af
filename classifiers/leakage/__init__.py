"""Images of one picture on both sides of a comparison: found by bytes, by features and by file names.

May import `validation`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.leakage.duplicate_groups import find_duplicate_groups as find_duplicate_groups
    from classifiers.leakage.filename_groups import find_filename_groups as find_filename_groups
    from classifiers.leakage.leaks import Leaks as Leaks, find_leaks as find_leaks
    from classifiers.leakage.near_duplicates import find_near_duplicates as find_near_duplicates

__getattr__, __dir__ = lazy_exports(__name__)
