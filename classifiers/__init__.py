"""classifiers: features -> classifiers, comparisons, reports, advice.

The names below are imported when first used, so that `import classifiers` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifiers.comparison.job import compare
    from classifiers.heads.registry import HEADS, make_head
    from classifiers.models.bundle import load_bundle, save_bundle
    from classifiers.report.report import Report
    from classifiers.validation.scores import Scores

__all__ = ["HEADS", "Report", "Scores", "compare", "load_bundle", "make_head", "save_bundle"]

_HOMES = {
    "HEADS": "heads",
    "Report": "report",
    "Scores": "scores",
    "compare": "comparison",
    "load_bundle": "bundle",
    "make_head": "heads",
    "save_bundle": "bundle",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'classifiers' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"classifiers.{_HOMES[name]}"), name)
