"""A look inside: what layers answer to an image, what a class would like to see.

May import `models`, `report.figures`, and what these may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.inspection.activation_report import draw_activations as draw_activations
    from classifiers.inspection.activations import Activation as Activation
    from classifiers.inspection.gradcam import GradCam as GradCam
    from classifiers.inspection.ideal import search_ideal as search_ideal
    from classifiers.inspection.ideal_files import ideal_image as ideal_image

__getattr__, __dir__ = lazy_exports(__name__)
