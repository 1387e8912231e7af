"""Which files are images, in which order, with which class and part: folders walked, archives listed, files hashed.

May import `errors`, `system` and `sources`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.images.image_set import ImageSet as ImageSet, hold_out as hold_out
    from featstore.images.listing import Listing as Listing, Skipped as Skipped
    from featstore.images.samples import write_digits as write_digits, write_textures as write_textures

__getattr__, __dir__ = lazy_exports(__name__)
