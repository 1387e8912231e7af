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

from classifiers.models.bundle import load_bundle
from classifiers.models.image_classifier import ImageClassifier
from featstore.errors import FeatstoreError, MissingExtraError, OutputExistsError
from featstore.system import fsio
from featstore.system.canonical_json import canonical_json

TOLERANCE = 1e-4
"""Largest difference of a probability between torch and the ONNX runtime that passes."""


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
        Of a probability, between torch and the ONNX runtime, on random images.
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
    metadata.

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
        The head is no torch module (trees, neighbours): take a linear or mlp head.
    OutputExistsError, BundleError, WeightsError
    FeatstoreError
        The runtime's probabilities are others than torch's.

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
    classifier = ImageClassifier.from_bundle(loaded, weights)
    module = _Probabilities(classifier).eval().requires_grad_(False)
    side = classifier.transform.crop
    pixels = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    model = _graph(module, pixels)
    about = {
        "classes": list(classifier.classes),
        "transform": classifier.transform.to_json(),
        "backbone": loaded.fingerprint.backbone,
        "weights": loaded.fingerprint.weights,
        "head": loaded.name,
    }
    entry = model.metadata_props.add()
    entry.key, entry.value = "featstore", canonical_json(about).decode("ascii")
    data = model.SerializeToString()
    difference = _difference(data, module, pixels)
    if not difference <= TOLERANCE:
        raise FeatstoreError(
            f"the exported graph gives other probabilities than the bundle (by {difference:.2g}, at most {TOLERANCE} "
            f"was expected), so nothing was written; another version of torch or onnxscript may do"
        )
    fsio.replace(out, data)
    return OnnxFile(out, side, classifier.classes, difference)


def _graph(module: nn.Module, pixels: Tensor) -> Any:
    """The module as an ONNX model, weights inside, with a batch of any size."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="featstore-onnx-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            module, (pixels,), file, input_names=["pixels"], output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), external_data=False, dynamo=True, verbose=False,
        )  # fmt: skip
        return onnx.load(file)


def _difference(data: bytes, module: nn.Module, pixels: Tensor) -> float:
    """Largest difference of a probability between the runtime and torch, for one image and for several."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch in (pixels, pixels[:1]):
        (found,) = session.run(["probabilities"], {"pixels": batch.numpy()})
        with torch.no_grad():
            expected = module(batch).numpy()
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
