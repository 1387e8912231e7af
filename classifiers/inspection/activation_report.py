"""Looking into a network with an image: feature maps, Grad-CAM, a page of both, the arrays."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.formatting import count
from classifiers.inspection.activations import Activation, ActivationRecorder
from classifiers.inspection.file_names import distinct_names, output_folder, slug
from classifiers.inspection.gradcam import GradCam, HeatMap
from classifiers.inspection.lossless_crop import to_bytes
from classifiers.models.image_classifier import ImageClassifier
from classifiers.report.figures.picture_page import Figure, PicturePage, Section
from classifiers.report.figures.raster import grid, overlay, png
from featstore.backbone.backbone import Backbone
from featstore.errors import DecodeError, ImagesNotFoundError
from featstore.system import fsio
from featstore.system.reporting import Progress, printable_path


@dataclass(frozen=True, eq=False)
class ImageActivations:
    """What was seen in one image.

    Attributes
    ----------
    image : str
        Printable path.
    activations : list of Activation
    heat : HeatMap or None
        Grad-CAM, where there is a classifier.
    heat_class : str
        The class that it is for.
    says : str
        What the classifier says, with its probability, where it is another class.
    files : dict of str to Path
        "gradcam", "npz", and the node's name for each grid.
    """

    image: str
    activations: list[Activation]
    heat: HeatMap | None
    heat_class: str
    says: str = ""
    files: dict[str, Path] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        cam = None
        if self.heat is not None:
            cam = {
                "class": self.heat_class,
                "probability": self.heat.probability,
                "shape": list(self.heat.heat.shape),
                "saved": str(self.files["gradcam"]),
            }
        return {
            "image": self.image,
            "nodes": [
                {
                    "node": activation.node,
                    "shape": list(activation.values.shape),
                    "min": float(activation.values.min()),
                    "max": float(activation.values.max()),
                    "silent_channels": activation.silent,
                    "saved": str(self.files[f"node {activation.node}"]),
                }
                for activation in self.activations
            ],
            "gradcam": cam,
            "npz": str(self.files["npz"]) if "npz" in self.files else None,
        }


def draw_activations(
    backbone: Backbone,
    classifier: ImageClassifier | None,
    paths: Sequence[bytes],
    nodes: Sequence[str],
    out: Path,
    *,
    target: int | None = None,
    cam_node: str | None = None,
    maps: int = 63,
    save_npz: bool = False,
    overwrite: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> tuple[list[ImageActivations], list[tuple[str, str]], Path]:
    """Draw what a network answers to images.

    Parameters
    ----------
    backbone : Backbone
        Its network is on `device`.
    classifier : ImageClassifier, optional
        On the same network, for Grad-CAM; without it there are only feature maps.
    paths : sequence of bytes
    nodes : sequence of str
    out : Path
        Folder for the files; made if new. `activations.html` holds everything.
    target : int, optional
        Index of the class that Grad-CAM is for; default: the one that the classifier is surest of, image by image.
    cam_node : str, optional
        Where Grad-CAM looks; see `classifiers.inspection.gradcam.GradCam`.
    maps : int
        Channels drawn a node.
    save_npz : bool
        Also write the arrays.

    Returns
    -------
    results : list of ImageActivations
    failed : list of (str, str)
        Printable path and reason of each image that cannot be read.
    page : Path

    Raises
    ------
    UnknownNameError
        No such node.
    OutputExistsError
    DecodeError
        None of the images can be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "grey.png")
    ...     Image.new("RGB", (48, 48), "grey").save(path)
    ...     results, failed, page = draw_activations(backbone, None, [bytes(path)], ["layer1"], Path(folder, "out"))
    ...     results[0].activations[0].values.shape, page.name
    ((64, 8, 8), 'activations.html')
    """
    recorder = ActivationRecorder(backbone, nodes)
    cam = None if classifier is None else GradCam(classifier, cam_node)
    reader = classifier or ImageClassifier(backbone, torch.nn.Identity(), ())
    names = distinct_names(paths)
    endings = {f"node {node}": f"{slug(node)}.png" for node in recorder.nodes}
    endings |= {"gradcam": "gradcam.png"} if cam is not None else {}
    endings |= {"npz": "activations.npz"} if save_npz else {}
    with output_folder(out, ["activations.html", *(f"{n}-{e}" for n in names for e in endings.values())], overwrite):
        results: list[ImageActivations] = []
        failed: list[tuple[str, str]] = []
        whose = f"Weights {backbone.weights.label}" if classifier is None else classifier.description
        page = PicturePage(
            f"What {backbone.name} sees",
            f"{whose}, input {backbone.transform.crop} pixels square. Every map "
            "is drawn from its own lowest (dark) to its own highest value (bright), the strongest first.",
        )
        try:
            for row, path in enumerate(paths):
                try:
                    image = reader.open([path])
                except (DecodeError, ImagesNotFoundError) as error:
                    failed.append((printable_path(path), str(error)))
                    continue
                result = _activations_of(printable_path(path), image.to(device), recorder, cam, classifier, target)
                result.files.update({what: out / f"{names[row]}-{ending}" for what, ending in endings.items()})
                page.sections.extend(_write(result, to_bytes(image)[0], maps))
                results.append(result)
                if progress is not None:
                    progress("images", row + 1, len(paths), "")
        except KeyboardInterrupt:
            if results:
                fsio.replace(out / "activations.html", page.html().encode())
            raise
        if not results and failed:
            raise DecodeError(
                failed[0][1] if len(failed) == 1 else f"none of {len(failed)} images can be read: {failed[0][1]}"
            )
        fsio.replace(out / "activations.html", page.html().encode())
        return results, failed, out / "activations.html"


def _activations_of(
    name: str,
    image: torch.Tensor,
    recorder: ActivationRecorder,
    cam: GradCam | None,
    classifier: ImageClassifier | None,
    target: int | None,
) -> ImageActivations:
    if cam is None or classifier is None:
        return ImageActivations(name, recorder(image), None, "")
    with torch.no_grad():
        said = classifier(image)[0].softmax(0)
    best = int(said.argmax())
    target = best if target is None else target
    says = "" if target == best else f"{classifier.classes[best]}, {float(said[best]):.3f}"
    return ImageActivations(name, recorder(image), cam(image, target), classifier.classes[target], says)


def _write(result: ImageActivations, image: NDArray[np.uint8], maps: int) -> list[Section]:
    """Write the pictures of one image; the same pictures for the page."""
    sections = []
    title = os.path.basename(result.image)  # noqa: PTH119 - a printable text, not a path any more
    if result.heat is not None:
        said = f"{result.heat_class} {result.heat.probability:.3f}"
        pair = grid([image, overlay(image, result.heat.heat)], columns=2, labels=["image", f"Grad-CAM\n{said}"])
        fsio.replace(result.files["gradcam"], png(pair))
        shown = bool(result.heat.heat.any())
        text = f"The classifier says {result.says}. " if result.says else ""
        text += (
            "The colours run from none to the strongest place of this map, however strong that is."
            if shown
            else f"Nothing in the image speaks for {result.heat_class}, so there is nothing to colour."
        )
        caption = f"Where the evidence for {said} lies" if shown else f"No evidence for {said}"
        figure = Figure(pair, caption, wide=True)
        sections.append(Section(f"{title}: Grad-CAM", text, [figure]))
    for activation in result.activations:
        picture = activation.picture(image, maps=maps, title=activation.node)
        fsio.replace(result.files[f"node {activation.node}"], png(picture))
        shape = activation.values.shape
        kind = f"{count(shape[0], 'map')} of {shape[1]}x{shape[2]}" if len(shape) == 3 else f"{shape[0]} numbers"
        text = f"{kind}; {count(activation.silent, 'channel')} silent."
        drawn = len(activation.strongest(maps)) if len(shape) == 3 else 0
        caption = f"The strongest {drawn} of {count(shape[0], 'map')}" if drawn else f"All {shape[0]} numbers"
        sections.append(Section(f"{title}: {activation.node}", text, [Figure(picture, caption, wide=True)]))
    if "npz" in result.files:
        arrays: dict[str, Any] = {activation.node: activation.values for activation in result.activations}
        if result.heat is not None:
            arrays["gradcam"] = result.heat.heat
        buffer = io.BytesIO()
        np.savez_compressed(buffer, input=image, **arrays)
        fsio.replace(result.files["npz"], buffer.getvalue())
    return sections
