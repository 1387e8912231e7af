"""Adversarial images: searched within a norm, saved without loss, judged by what the saved file shows.

May import `inspection`, and what that may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.adversarial.attack import Attack as Attack
    from classifiers.adversarial.files import attack_files as attack_files
    from classifiers.adversarial.robustness import robust_accuracy as robust_accuracy

__getattr__, __dir__ = lazy_exports(__name__)
