"""Frozen networks: which there are, their weights, where they can be cut, and what their features depend on.

May import `errors`, `system`, `fingerprint`, `sources` and `decoding`.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone as Backbone
    from featstore.backbone.catalogue import BACKBONES as BACKBONES, BackboneInfo as BackboneInfo
    from featstore.backbone.nodes import NodeInfo as NodeInfo, node_table as node_table
    from featstore.backbone.weights import Weights as Weights, load_weights as load_weights

__getattr__, __dir__ = lazy_exports(__name__)
