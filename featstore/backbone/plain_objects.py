"""Plain objects that checkpoints hold beside tensors: which are let in, and what takes their place.

torch's restricted unpickler knows tensors, numbers, text and containers, and refuses everything else. Training scripts
also keep their settings: an `argparse.Namespace`, a best accuracy that is a NumPy scalar, a path, a date. Their names
are on a list, and each is read as a stand-in of this module that remembers nothing; so none of their own code is run,
whatever arguments a file gives them. Only the numbers of NumPy arrays are kept.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Ignored:
    """Stands for an object that holds no tensors. Takes any arguments and any state, and keeps none.

    Examples
    --------
    >>> Ignored("2024", tz=None).__setstate__({"x": 1})
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Ignored:
        """Make one, whatever it is given."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


class IgnoredList(list[Any]):
    """Stands for a list of another class, such as a deque; the unpickler appends to it."""

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


class PlainMapping:
    """Stands for a mapping of another class, such as a defaultdict; what comes out is an OrderedDict.

    Examples
    --------
    >>> PlainMapping(list)
    OrderedDict()
    """

    def __new__(cls, *args: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]  # the unpickler fills no other class
        """Make an empty one: the entries come afterwards."""
        return OrderedDict()


class StoredType(Ignored):
    """Stands for a NumPy dtype: its code and its byte order."""

    code = ""
    order = "="

    def __init__(self, *args: Any) -> None:
        if args and isinstance(args[0], str):
            self.code = args[0]

    def __setstate__(self, state: Any) -> None:
        """Keep the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]


class StoredArray(Ignored):
    """Stands for a NumPy array; `tensor` gives its numbers."""

    _state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep shape, dtype and bytes."""
        self._state = state

    def tensor(self) -> Tensor | None:
        """The numbers, or None where they are none that weights are made of, or not all there.

        Returns
        -------
        Tensor or None
            Floating point or int64, of the array's shape.
        """
        try:
            _, shape, kind, fortran, content = self._state
            if not isinstance(kind, StoredType) or not isinstance(content, bytes):
                return None
            if kind.code not in ("f2", "f4", "f8", "i8") or kind.order not in ("<", ">", "="):
                return None
            numbers = np.frombuffer(content, np.dtype(f"{kind.order}{kind.code}"))
            if numbers.size != math.prod(shape):
                return None
            ordered = numbers.reshape(shape, order="F" if fortran else "C")
            return torch.from_numpy(np.array(ordered, dtype=kind.code, order="C"))
        except (TypeError, ValueError, OverflowError):
            return None


_NAMES: dict[type, tuple[str, ...]] = {
    Ignored: (
        "argparse.Namespace", "types.SimpleNamespace",
        *(f"pathlib{inner}.{name}" for inner in ("", "._local")
          for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")),
        *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
        "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "uuid.SafeUUID",
        *(f"builtins.{name}" for name in ("list", "dict", "tuple", "int", "float", "str", "bool", "bytes", "frozenset",
                                          "slice", "range", "object")),
        "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.ndarray",
        *(f"numpy.{name}" for name in ("bool_", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                                       "uint64", "float16", "float32", "float64", "str_", "longlong")),
        "torch.torch_version.TorchVersion",
    ),
    IgnoredList: ("collections.deque",),
    PlainMapping: (
        "collections.defaultdict", "easydict.EasyDict", "yacs.config.CfgNode", "fvcore.common.config.CfgNode",
        "addict.addict.Dict", "lightning.fabric.utilities.data.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict", "pytorch_lightning.utilities.parsing.AttributeDict",
    ),
    StoredType: ("numpy.dtype",),
    StoredArray: ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
}  # fmt: skip

STAND_INS: tuple[tuple[Callable[..., Any], str], ...] = tuple(
    (kind, name) for kind, names in _NAMES.items() for name in names
)
"""Stand-ins, each with the name in a pickle whose place it takes, for `torch.serialization.safe_globals`."""
