"""The bytes of one image file to the input of a network: formats, orientation, depth, the resize.

May import `errors`, `system` and `images`. No torch.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.decoding.pixels.transform import TransformSpec as TransformSpec

__getattr__, __dir__ = lazy_exports(__name__)
