"""Any data -> an ImageSet: which source and layout they are, what was found, and what is doubtful about it.

May import `errors`, `system`, `sources`, `images`, `lists` and `layouts`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.discovery.doubts import Doubt as Doubt, find_doubts as find_doubts
    from featstore.discovery.pictures import Pictures as Pictures
    from featstore.discovery.scanning import scan as scan
    from featstore.discovery.summary import found_json as found_json, found_lines as found_lines

__getattr__, __dir__ = lazy_exports(__name__)
