"""A comparison's result: one dict is the truth; text, Markdown and one HTML page are renderings of it.

Its own room `figures` draws. May import its own room, and what that may import; never a head: it takes what
`comparison` gives.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.report.report import Report as Report

__getattr__, __dir__ = lazy_exports(__name__)
