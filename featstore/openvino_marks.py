"""Layers that OpenVINO computes in float32 whatever the precision asked for.

The mark is an attribute that Python cannot set on a node, but that the reader of model files understands: the model
goes through a temporary file. OpenVINO before 2026 does not know the attribute and ignores it; the comparison with
torchvision's arithmetic, which every engine has to pass, says so then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    import openvino

_ATTRIBUTE = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:bf16,f16"}


def mark_float32(model: openvino.Model, names: Collection[str]) -> openvino.Model:
    """The same model with operations marked.

    Parameters
    ----------
    names : collection of str
        Friendly names of operations.

    Raises
    ------
    OSError
        No room for the temporary file.
    """
    import openvino

    if not names:
        return model
    with tempfile.TemporaryDirectory(prefix="featstore-") as folder:
        description, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(model, description, weights)
        tree = ElementTree.parse(description)
        data = np.fromfile(weights, dtype=np.uint8)
    for layer in tree.iterfind("./layers/layer"):
        if layer.get("name") in names:
            mark = ElementTree.Element("rt_info")
            ElementTree.SubElement(mark, "attribute", _ATTRIBUTE)
            first = next((i for i, part in enumerate(layer) if part.tag in ("input", "output", "rt_info")), len(layer))
            layer.insert(first, mark)  # the reader wants it between a layer's settings and its ports
    return openvino.Core().read_model(ElementTree.tostring(tree.getroot()), openvino.Tensor(data))
