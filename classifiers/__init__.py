"""classifiers: features -> classifiers, comparisons, reports, advice.

Rooms, from the bottom: `validation` (parts, scores, doubt), `leakage` (copies on both sides), `heads` (estimators),
`models` (saved, opened, applied), `report` (one dict, several renderings), `comparison` (heads side by side),
`training` (the loop), `advice` (is the cache enough?), `transfer` (fine-tuning), `inspection` (look inside),
`adversarial` (fool a network). Each may import from those before it and from featstore. The names below are imported
when first used, so that `import classifiers` costs nothing.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.comparison.job import compare as compare
    from classifiers.heads.registry import HEADS as HEADS, make_head as make_head
    from classifiers.models.bundle import load_bundle as load_bundle, save_bundle as save_bundle
    from classifiers.report.report import Report as Report
    from classifiers.validation.scores import Scores as Scores

__getattr__, __dir__ = lazy_exports(__name__)
