"""A backbone as an OpenVINO model, written down operation by operation.

The three families are built from a dozen operations. Writing them down takes a tenth of a second; tracing the network
and converting the trace takes seconds, at every start. Batch norms are folded before.
"""

from __future__ import annotations

import copy
import operator
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from featstore.backbone.backbone import Backbone
from featstore.backbone.trunk import PixelTrunk
from featstore.engines.low_precision import layer_precisions, precision_provenance
from featstore.engines.prepared import PreparedModel
from featstore.errors import DeviceError

if TYPE_CHECKING:
    import openvino

_ATTRIBUTE = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:bf16,f16"}


def written(model: openvino.Model, kept: Collection[str] = ()) -> tuple[bytes, NDArray[np.uint8]]:
    """A model in OpenVINO's format, with operations marked that stay in float32.

    Parameters
    ----------
    kept : collection of str
        Friendly names of those operations.

    Returns
    -------
    description : bytes
        XML.
    weights : ndarray of shape (n,), uint8

    Raises
    ------
    OSError
        No room for the temporary file.
    """
    import openvino

    with tempfile.TemporaryDirectory(prefix="featstore-") as folder:
        description, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(model, description, weights)
        if not kept:
            return description.read_bytes(), np.fromfile(weights, dtype=np.uint8)
        tree = ElementTree.parse(description)
        data = np.fromfile(weights, dtype=np.uint8)
    for layer in tree.iterfind("./layers/layer"):
        if layer.get("name") in kept:
            mark = ElementTree.Element("rt_info")
            ElementTree.SubElement(mark, "attribute", _ATTRIBUTE)
            first = next((i for i, part in enumerate(layer) if part.tag in ("input", "output", "rt_info")), len(layer))
            layer.insert(first, mark)  # the reader wants it between a layer's settings and its ports
    return ElementTree.tostring(tree.getroot()), data


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
    description, weights = written(model, names)
    return openvino.Core().read_model(description, openvino.Tensor(weights))


Value = Any
"""An output of an OpenVINO operation."""


def openvino_model(backbone: Backbone, request: int, precision: str = "fp32") -> openvino.Model:
    """Write a backbone down for OpenVINO.

    Parameters
    ----------
    request : int
        Images a request.
    precision : {"fp32", "bf16"}
        Decides roundings and which layers have to stay in float32; the compiler's hint decides the rest.

    Returns
    -------
    openvino.Model
        (request, s, s, 3) uint8 -> (request, d_i) float32 for each of the backbone's nodes.

    Raises
    ------
    DeviceError
        The network has an operation that is not written down here.
    """
    model, kept = _composed(backbone, request, precision)
    return mark_float32(model, kept)


def prepare_model(backbone: Backbone, request: int, precision: str) -> PreparedModel:
    """Write a backbone down as `openvino_model` does, in a form that can be kept.

    Raises
    ------
    DeviceError
        The network has an operation that is not written down here.
    OSError
        No room for the temporary file.
    """
    description, weights = written(*_composed(backbone, request, precision))
    widths = tuple(backbone.widths[node] for node in backbone.nodes)
    return PreparedModel(description, weights, request, widths, precision_provenance(backbone, precision))


def _composed(backbone: Backbone, request: int, precision: str) -> tuple[openvino.Model, list[str]]:
    """The model, and the names of the operations that have to be marked."""
    import openvino
    from openvino import opset13 as ops

    how = layer_precisions(backbone, precision)
    body = how.body
    side = backbone.transform.crop
    images = ops.parameter([request, side, side, 3], np.uint8, name="images")
    entry = PixelTrunk.of(backbone.trunk, backbone.transform)
    x = ops.multiply(ops.convert(images, "f32"), _constant(entry.scale))
    x = ops.transpose(ops.add(x, _constant(entry.shift)), np.array([0, 3, 1, 2]))

    modules = dict(body.named_modules())
    values: dict[fx.Node, Value] = {}
    found: list[Value] = []
    kept: list[str] = []
    for step in body.graph.nodes:
        if step.op == "placeholder":
            values[step] = x
        elif step.op == "output":
            found = [values[value] for value in step.args[0]]
        elif step.op == "call_module":
            module, given = modules[str(step.target)], values[step.args[0]]
            if str(step.target) in how.low:
                values[step] = _low(module, given)
            else:
                values[step] = _known(MODULES, type(module))(module, given)
                if precision != "fp32" and isinstance(module, nn.Conv2d):
                    kept.append(_convolution_name(values[step]))
        else:
            values[step] = _known(FUNCTIONS, step.target)(*(values.get(arg, arg) for arg in step.args))
    outputs = [_pooled(value, backbone.pools[node]) for node, value in zip(backbone.nodes, found, strict=True)]
    return openvino.Model(outputs, [images], backbone.name), kept


def _known(table: dict[Any, Callable[..., Value]], what: Any) -> Callable[..., Value]:
    if what not in table:
        name = getattr(what, "__name__", str(what))
        raise DeviceError(f'the openvino engine does not know the operation {name}; use `engine="eager"`')
    return table[what]


def _constant(tensor: Tensor) -> Value:
    from openvino import opset13 as ops

    return ops.constant(np.ascontiguousarray(tensor.detach().numpy()))


def _pair(value: int | tuple[int, ...] | str) -> list[int]:
    assert not isinstance(value, str)
    return [value, value] if isinstance(value, int) else list(value)


def _convolution(module: nn.Conv2d, x: Value) -> Value:
    from openvino import opset13 as ops

    pads = _pair(module.padding)
    sizes = (_pair(module.stride), pads, pads, _pair(module.dilation))
    if module.groups == 1:
        y = ops.convolution(x, _constant(module.weight), *sizes)
    else:
        grouped = module.weight.reshape(module.groups, -1, *module.weight.shape[1:])
        y = ops.group_convolution(x, _constant(grouped), *sizes)
    return y if module.bias is None else ops.add(y, _constant(module.bias.reshape(1, -1, 1, 1)))


def _low(module: nn.Conv2d | nn.Linear, x: Value) -> Value:
    """A layer in low precision. Its bias would be rounded, too, if there were no bound (without effect) before it."""
    from openvino import opset13 as ops

    bare = copy.copy(module)
    bare._parameters = {"weight": nn.Parameter(module.weight), "bias": None}
    y = MODULES[type(module)](bare, x)
    if module.bias is None:
        return y
    largest = float(np.finfo(np.float32).max)
    shape = (1, -1, 1, 1) if isinstance(module, nn.Conv2d) else (1, -1)
    return ops.add(ops.clamp(y, -largest, largest), _constant(module.bias.reshape(shape)))


def _convolution_name(value: Value) -> str:
    """Name of the convolution, behind which there may be a bias."""
    name: str = (value.input_value(0).get_node() if value.get_type_name() == "Add" else value).get_friendly_name()
    return name


def _batch_norm(module: nn.BatchNorm2d, x: Value) -> Value:
    """One that could not be folded, since the value before it is asked for too."""
    from openvino import opset13 as ops

    assert module.running_mean is not None and module.running_var is not None
    scale = module.weight / torch.sqrt(module.running_var + module.eps)
    shift = module.bias - module.running_mean * scale
    return ops.add(ops.multiply(x, _constant(scale.reshape(1, -1, 1, 1))), _constant(shift.reshape(1, -1, 1, 1)))


def _linear(module: nn.Linear, x: Value) -> Value:
    from openvino import opset13 as ops

    y = ops.matmul(x, _constant(module.weight), transpose_a=False, transpose_b=True)
    return y if module.bias is None else ops.add(y, _constant(module.bias.reshape(1, -1)))


def _max_pool(module: nn.MaxPool2d, x: Value) -> Value:
    from openvino import opset13 as ops

    pads = _pair(module.padding)
    rounding = "ceil" if module.ceil_mode else "floor"
    kernel, stride, dilation = (_pair(size) for size in (module.kernel_size, module.stride, module.dilation))
    return ops.max_pool(x, stride, dilation, pads, pads, kernel, rounding).output(0)


def _adaptive_average(size: Any, x: Value) -> Value:
    from openvino import opset13 as ops

    rows_and_columns = _pair(size)
    if rows_and_columns == [1, 1]:
        return ops.reduce_mean(x, np.array([2, 3]), keep_dims=True)
    return ops.adaptive_avg_pool(x, np.array(rows_and_columns))


def _unary(name: str, *settings: float) -> Callable[[nn.Module, Value], Value]:
    def apply(module: nn.Module, x: Value) -> Value:
        from openvino import opset13 as ops

        return getattr(ops, name)(x, *settings)

    return apply


def _binary(name: str) -> Callable[[Value, Value], Value]:
    def apply(a: Value, b: Value) -> Value:
        from openvino import opset13 as ops

        return getattr(ops, name)(a, b)

    return apply


def _flatten(x: Value, start: int = 1) -> Value:
    from openvino import opset13 as ops

    return ops.reshape(x, np.array([0, -1]), special_zero=True)


def _pooled(x: Value, kind: str) -> Value:
    """As `featstore.backbone.trunk.Pool`."""
    from openvino import opset13 as ops

    both = np.array([2, 3])
    if kind == "avg":
        return ops.reduce_mean(x, both)
    if kind == "max":
        return ops.reduce_max(x, both)
    if kind == "gem":
        cubes = ops.power(ops.maximum(x, np.float32(1e-6)), np.float32(3))
        return ops.power(ops.reduce_mean(cubes, both), np.float32(1 / 3))
    return _flatten(x)


MODULES: dict[Any, Callable[[Any, Value], Value]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveAvgPool2d: lambda module, x: _adaptive_average(module.output_size, x),
    nn.ReLU: _unary("relu"),
    nn.ReLU6: _unary("clamp", 0.0, 6.0),
    nn.Hardswish: _unary("hswish"),
    nn.Hardsigmoid: _unary("hsigmoid"),
    nn.Dropout: lambda module, x: x,  # nothing, outside of training
    nn.Identity: lambda module, x: x,
}
FUNCTIONS: dict[Any, Callable[..., Value]] = {
    operator.add: _binary("add"),
    operator.mul: _binary("multiply"),
    torch.flatten: _flatten,
    functional.adaptive_avg_pool2d: lambda x, size: _adaptive_average(size, x),
}
