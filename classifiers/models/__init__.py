"""Fitted heads as files and as classifiers of pixels: saved without pickle, opened, applied to image files.

May import `streamed`, `heads`, `leakage`, and what these may import.
"""

from typing import TYPE_CHECKING

from featstore.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from classifiers.models.bundle import Bundle as Bundle, load_bundle as load_bundle, save_bundle as save_bundle
    from classifiers.models.class_names import find_class as find_class
    from classifiers.models.classifier_choice import open_classifier as open_classifier
    from classifiers.models.image_classifier import ImageClassifier as ImageClassifier
    from classifiers.models.onnx_file import export_onnx as export_onnx
    from classifiers.models.prediction import Predictions as Predictions, predict_images as predict_images
    from classifiers.models.trained_head import TrainedHead as TrainedHead, train as train

__getattr__, __dir__ = lazy_exports(__name__)
