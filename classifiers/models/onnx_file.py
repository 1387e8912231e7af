"""ONNX: a bundle as one graph, from pixels to probabilities, for runtimes that know neither torch nor featstore."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.models.bundle import Bundle, load_bundle
from classifiers.models.bundle_network import open_backbone
from classifiers.models.image_classifier import ImageClassifier, differentiable_head
from classifiers.models.onnx_heads import NeighbourVotes, PairVotes
from classifiers.models.onnx_trees import TREE_HEADS, append_trees
from featstore.errors import FeatstoreError, MissingExtraError, OutputExistsError
from featstore.system import fsio
from featstore.system.canonical_json import canonical_json

TOLERANCE = 1e-4
"""Largest difference of a probability between the bundle and the ONNX runtime that passes."""

IMAGES = 4
"""Random images that it is looked at on."""

PLAIN = {"knn": NeighbourVotes, "svm-rbf": PairVotes}
"""Heads without gradients that plain operations can compute."""


@dataclass(frozen=True)
class OnnxFile:
    """What was written.

    Attributes
    ----------
    path : Path
    input_size : int
        Side of the input, pixels.
    classes : tuple of str
        In the order of the probabilities.
    largest_difference : float
        Of a probability, between the bundle and the ONNX runtime, on random images; with trees or neighbours without
        the one image of a batch that rounding may send past a threshold.
    """

    path: Path
    input_size: int
    classes: tuple[str, ...]
    largest_difference: float


class _Probabilities(nn.Module):
    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, 3, s, s) float32 in [0, 1] -> (b, k)."""
        return torch.softmax(self.classifier(pixels), dim=1)


def export_onnx(
    bundle: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> OnnxFile:
    """Write network and head as one ONNX graph, and check it against the ONNX runtime before it appears.

    The graph takes `pixels`, (b, 3, s, s) float32 in [0, 1] for any b, the image resized and cropped as the bundle's
    transform says (normalisation is inside), and gives `probabilities`, (b, k). Classes and transform stand in its
    metadata. Linear and mlp heads, knn and svm-rbf are plain operations; forest and lightgbm are a tree ensemble of
    ai.onnx.ml. The last digits of a feature may differ between runtimes; where that sends an image past the threshold
    of a tree, one tree of many answers otherwise.

    Parameters
    ----------
    bundle : path
    out : path
    weights : path, optional
        Where the network's weights are now.

    Raises
    ------
    MissingExtraError
        onnx, onnxscript or onnxruntime is not installed.
    NoGradientError
        The head is none that can be chosen, but a reference.
    OutputExistsError, BundleError, WeightsError
    FeatstoreError
        The runtime's probabilities are others than the bundle's, or the head does not fit into one file.

    Examples
    --------
    It takes some seconds, so this one is not run with the others:

    >>> export_onnx("bees.bundle", "bees.onnx").largest_difference < TOLERANCE  # doctest: +SKIP
    True
    """
    lacking = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if lacking:
        raise MissingExtraError(f'ONNX export needs {", ".join(lacking)}: pip install "featstore[onnx]"')
    out = Path(out)
    if not overwrite and (out.exists() or out.is_symlink()):
        raise OutputExistsError(f"{out} exists already; name another place or add `overwrite=True`")
    loaded = load_bundle(bundle)
    head, trees = _head(loaded), loaded.name in TREE_HEADS
    classifier = ImageClassifier(open_backbone(loaded, weights), head, loaded.classes)
    module = (classifier if trees else _Probabilities(classifier)).eval().requires_grad_(False)
    side = classifier.transform.crop
    pixels = torch.rand(IMAGES, 3, side, side, generator=torch.Generator().manual_seed(0))
    model = _graph(module, pixels, "features" if trees else "probabilities")
    if trees:
        append_trees(model, loaded.name, *loaded.head.get_state())
    about = {
        "classes": list(classifier.classes),
        "transform": classifier.transform.to_json(),
        "backbone": loaded.fingerprint.backbone,
        "weights": loaded.fingerprint.weights,
        "head": loaded.name,
    }
    entry = model.metadata_props.add()
    entry.key, entry.value = "featstore", canonical_json(about).decode("ascii")
    difference = _difference(model.SerializeToString(), classifier, loaded, pixels)
    if not difference <= TOLERANCE:
        raise FeatstoreError(
            f"the exported graph gives other probabilities than the bundle (by {difference:.2g}, at most {TOLERANCE} "
            f"was expected), so nothing was written; another version of torch or onnxscript may do"
        )
    if trees:  # the features were an output only to check what the trees make of them
        del model.graph.output[0]
    fsio.replace(out, model.SerializeToString())
    return OnnxFile(out, side, classifier.classes, difference)


def _head(bundle: Bundle) -> nn.Module:
    """What turns features into logits; the features themselves where trees come behind them."""
    if bundle.name in TREE_HEADS:
        return nn.Identity()
    if bundle.name in PLAIN:
        return PLAIN[bundle.name](*bundle.head.get_state()).eval()
    return differentiable_head(bundle)


def _graph(module: nn.Module, pixels: Tensor, output: str) -> Any:
    """The module as an ONNX model, weights inside, with a batch of any size."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="featstore-onnx-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            module, (pixels,), file, input_names=["pixels"], output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), external_data=False, dynamo=True, verbose=False,
        )  # fmt: skip
        return onnx.load(file)


def _difference(data: bytes, classifier: ImageClassifier, bundle: Bundle, pixels: Tensor) -> float:
    """Largest difference of a probability between the runtime and the bundle, for one image and for several."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    largest = 0.0
    for batch in (pixels, pixels[:1]):
        found = dict(zip(names, session.run(names, {"pixels": batch.numpy()}), strict=True))
        with torch.no_grad():
            (features, *_) = (part.numpy() for part in classifier.trunk((batch - classifier.mean) / classifier.std))
        if "features" in found:
            scale = max(1.0, float(np.abs(features).max()))
            largest = max(largest, float(np.abs(found["features"] - features).max()) / scale)
            features = found["features"]
        apart = np.abs(found["probabilities"] - bundle.predict_proba(features)).max(axis=1)
        # Rounding may send one image past the threshold of a tree, or past the last neighbour.
        spared = 1 if len(apart) > 1 and bundle.name in (*TREE_HEADS, *PLAIN) else 0
        largest = max(largest, float(np.sort(apart)[len(apart) - 1 - spared]))
    return largest
