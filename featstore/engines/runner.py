"""What runs a network: the interface of the engines' inner part."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Outputs = list[NDArray[np.float32]]
"""One (b, d_i) matrix a node."""


class Pending(Protocol):
    """Features on their way."""

    def result(self) -> Outputs:
        """Wait for them."""
        ...


class Runner(Protocol):
    """Runs a network on one device. To be used by one thread.

    Attributes
    ----------
    name : str
        "eager", "compile" or "openvino".
    batch_size : int
        Images that `submit` takes at most.

    Examples
    --------
    >>> from featstore.backbone.backbone import Backbone
    >>> from featstore.engines.torch_runner import TorchRunner
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> runner: Runner = TorchRunner(backbone, device="cpu", precision="fp32", threads=1)
    >>> runner.prepare()
    >>> [output.shape for output in runner.submit(np.zeros((3, 32, 32, 3), np.uint8)).result()]
    [(3, 512)]
    >>> runner.close()
    """

    name: str
    batch_size: int

    @property
    def provenance(self) -> dict[str, Any]:
        """What may change the bits, for the provenance; JSON-able."""
        ...

    def prepare(self) -> None:
        """Convert, compile and warm up. Raises DeviceError where that fails."""
        ...

    def submit(self, images: NDArray[np.uint8]) -> Pending:
        """Start on (b, s, s, 3) images, b <= batch_size. Each row's bits depend on its image alone."""
        ...

    def resize(self, batch_size: int) -> None:
        """Go on with another batch size, giving memory back first."""
        ...

    def close(self, finish: bool = True) -> None:
        """Give threads and memory back, after all that was handed over or, not to `finish`, without what waits."""
        ...
