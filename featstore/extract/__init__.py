"""The job: an image set's missing rows decoded, computed and committed.

May import every other room of featstore.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.extract.content_check import ContentCheck as ContentCheck, check_content as check_content
    from featstore.extract.extraction import Extraction as Extraction
    from featstore.extract.job import extract as extract

__getattr__, __dir__ = lazy_exports(__name__)
