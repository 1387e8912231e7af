"""The OpenVINO engine: the fastest on x86 CPUs."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featstore.engines.prepared import PreparedModel
from featstore.engines.request_pool import RequestedBatch, RequestPool, Worker
from featstore.engines.runner import Outputs
from featstore.errors import DeviceError, MissingExtraError
from featstore.system.interruption import held_back
from featstore.system.machine import is_out_of_memory, usable_cores

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone

_CONVERTER = "openvino.tools.ovc"
HINTS = {"fp32": "f32", "bf16": "bf16"}
LARGE = 8_000_000
"""Parameters above which weights leave the cores' caches between images, so that several images share one reading."""


def has_openvino() -> bool:
    """Is it installed? Nothing is imported."""
    return importlib.util.find_spec("openvino") is not None


def require_openvino() -> None:
    """MissingExtraError where it is not installed."""
    if not has_openvino():
        raise MissingExtraError("OpenVINO is not installed; run: pip install 'featstore[openvino]'")


def load_openvino() -> Any:
    """The module `openvino`, imported without its converter of other frameworks' models.

    The converter is not used here and takes more than half of the import. OpenVINO takes its absence for an
    installation without it; whoever calls `openvino.convert_model` later in this process gets it all the same.

    Raises
    ------
    ImportError, OSError
        OpenVINO cannot be loaded.
    """
    slim = "openvino" not in sys.modules and _CONVERTER not in sys.modules
    with held_back():
        if slim:
            sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # an import of it fails
        try:
            import openvino
        finally:
            if slim:
                del sys.modules[_CONVERTER]
    if not hasattr(openvino, "convert_model"):

        def convert_model(*args: Any, **options: Any) -> Any:
            from openvino.tools.ovc import convert_model as convert

            return convert(*args, **options)

        openvino.convert_model = convert_model
    return openvino


def usual_request(backbone: Backbone) -> int:
    """Images a request that suit a network, before anything was measured."""
    return 8 if sum(parameter.numel() for parameter in backbone.trunk.parameters()) > LARGE else 1


def openvino_batch(request: int, batch_size: int | None, threads: int | None) -> int:
    """Images to hand over at a time: as asked for, or enough that all requests stay busy."""
    return batch_size or max(32, 4 * request * (threads or usable_cores()))


class OpenVINORunner:
    """OpenVINO on the CPU: several small requests at once, each on its own cores.

    Bits depend neither on the size of a request nor on how many run at once (measured over all three families, and
    tested); what is left of a request at the end of a batch is padded with zeros.

    Parameters
    ----------
    network : Backbone or PreparedModel
        A prepared model runs as it is, without torch; `request` is its own then.
    precision : {"fp32", "bf16"}
    request : int
        Images a request.
    threads : int, optional
        Cores to use. Default: OpenVINO's choice among the usable ones.
    batch_size : int, optional
        Default: enough that all requests stay busy.

    Attributes
    ----------
    model : PreparedModel or None
        What runs, in a form that can be kept; known after `prepare`, None where there was no room to write it.

    Raises
    ------
    MissingExtraError
        OpenVINO is not installed.
    DeviceError
        bf16 on a CPU without bf16 arithmetic.
    """

    def __init__(
        self,
        network: Backbone | PreparedModel,
        *,
        precision: str,
        request: int,
        threads: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        require_openvino()
        try:
            openvino = load_openvino()
        except (ImportError, OSError) as error:
            raise MissingExtraError(
                f"OpenVINO is installed but cannot be loaded ({error}); run: pip install --force-reinstall openvino"
            ) from error

        self.name = "openvino"
        self._cores = threads or usable_cores()
        self.batch_size = openvino_batch(request, batch_size, threads)
        self.model = network if isinstance(network, PreparedModel) else None
        self._backbone = None if isinstance(network, PreparedModel) else network
        self._what = "what was prepared" if isinstance(network, PreparedModel) else network.name
        self._request = request
        try:
            self._core = openvino.Core()
        except Exception as error:  # it fails in many ways without a common base
            raise DeviceError(f'OpenVINO cannot be started here ({error}); use `engine="eager"`') from error
        self._precision = precision
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise DeviceError(
                "this CPU has no bf16 arithmetic, so OpenVINO would compute in fp32; "
                'use `precision="fp32"` or `engine="eager"`'
            )
        self._details: dict[str, Any] = {}
        self._pool: RequestPool | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What may change the bits."""
        return {"openvino": version("openvino")} | self._details

    def prepare(self) -> None:
        """Convert, compile, start the threads.

        Raises
        ------
        DeviceError
            OpenVINO cannot convert or run the network here.
        """
        try:
            self._start()
        except Exception as error:
            # OpenVINO fails in many ways without a common base
            if is_out_of_memory(error) or isinstance(error, DeviceError):
                raise
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
            raise DeviceError(f'OpenVINO cannot run {self._what} here ({reason}); use `engine="eager"`') from error

    def submit(self, images: NDArray[np.uint8]) -> RequestedBatch:
        """Hand a batch to the threads and return."""
        assert self._pool is not None
        return self._pool.submit(images)

    def resize(self, batch_size: int) -> None:
        """Memory is taken by requests, whose size stays; only fewer images are under way."""
        self.batch_size = batch_size

    def close(self, finish: bool = True) -> None:
        """End the threads, after all that was handed over or, not to `finish`, what is being computed."""
        if self._pool is not None:
            self._pool.close(finish)

    def _start(self) -> None:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": HINTS[self._precision],
            "ENABLE_CPU_PINNING": False,  # decoders need the same cores, and the kernel knows best who waits
        }
        if self._cores != os.cpu_count():  # OpenVINO does not see a container's quota
            settings["INFERENCE_NUM_THREADS"] = self._cores
        compiled = self._core.compile_model(self._read(), "CPU", settings)
        streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        workers = [_worker(compiled.create_infer_request()) for _ in range(streams)]
        widths = [int(output.partial_shape[1].get_length()) for output in compiled.outputs]
        self._pool = RequestPool(workers, self._request, widths)

    def _read(self) -> Any:
        """The model as OpenVINO takes it: a network is written down first, so that what is kept is what runs."""
        import openvino

        if self._backbone is not None:
            from featstore.engines.low_precision import precision_provenance
            from featstore.engines.openvino_model import openvino_model, prepare_model

            self._details = precision_provenance(self._backbone, self._precision)
            try:
                self.model = prepare_model(self._backbone, self._request, self._precision)
            except (OSError, RuntimeError):  # no room for temporary files, for instance
                return openvino_model(self._backbone, self._request, self._precision)
        assert self.model is not None
        self._details = dict(self.model.provenance)
        return self._core.read_model(self.model.description, openvino.Tensor(self.model.weights))


def _worker(request: Any) -> Worker:
    def compute(images: NDArray[np.uint8], outputs: Outputs) -> None:
        pixels = request.get_input_tensor().data
        pixels[: len(images)] = images
        pixels[len(images) :] = 0
        request.infer()
        for i, output in enumerate(outputs):
            output[:] = request.get_output_tensor(i).data[: len(output)]

    return compute
