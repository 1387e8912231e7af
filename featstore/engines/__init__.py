"""A frozen network run fast: eager PyTorch, torch.compile or OpenVINO, each checked against torchvision before use.

May import `errors`, `system`, `fingerprint`, `decoding.pixels`, `store.tables` and `backbone`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.engines.devices import find_device as find_device
    from featstore.engines.engine import Engine as Engine
    from featstore.engines.factory import ENGINES as ENGINES, PRECISIONS as PRECISIONS, make_engine as make_engine
    from featstore.engines.runner import Runner as Runner

__getattr__, __dir__ = lazy_exports(__name__)
