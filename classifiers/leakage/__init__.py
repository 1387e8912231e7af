"""Images of one picture on both sides of a comparison: by bytes, by features and then pixels, by file names.

May import `leakage.pixels`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.leakage.candidate_pairs import find_candidate_pairs as find_candidate_pairs
    from classifiers.leakage.duplicate_groups import find_duplicate_groups as find_duplicate_groups
    from classifiers.leakage.filename_groups import find_filename_groups as find_filename_groups
    from classifiers.leakage.leaks import Leaks as Leaks, find_leaks as find_leaks

__getattr__, __dir__ = lazy_exports(__name__)
