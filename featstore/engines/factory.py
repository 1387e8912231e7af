"""make_engine: which ways of running a backbone there are on a device, and the requests that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featstore.engines.deferred_backbone import DeferredBackbone
from featstore.engines.devices import find_device, has_bf16
from featstore.engines.engine import Engine, EngineOption
from featstore.engines.openvino_runner import (
    OpenVINORunner,
    has_openvino,
    openvino_batch,
    require_openvino,
    usual_request,
)
from featstore.engines.prepared import PreparedPlace
from featstore.engines.runner import Runner
from featstore.errors import DeviceError, UnknownNameError
from featstore.fingerprint import PRECISIONS as PRECISIONS
from featstore.store.tables.layout import SHARD_ROWS

if TYPE_CHECKING:
    from featstore.backbone.backbone import Backbone

ENGINES = ("auto", "eager", "compile", "openvino")
MIN_ROWS_TO_COMPILE = 4000
"""Images below which the minute that torch.compile takes on a CPU does not come back."""


def check_request(engine: str, device: str, precision: str) -> None:
    """Refuse what `make_engine` refuses.

    Parameters
    ----------
    engine : str
        One of `ENGINES`.
    device : str
        As `find_device` gives it.
    precision : str
        One of `PRECISIONS`.

    Raises
    ------
    DeviceError, MissingExtraError, UnknownNameError
        As `make_engine`.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if device == "cpu" and precision == "fp16":
        raise DeviceError('fp16 on a CPU would be emulated, slower than fp32; use `precision="bf16"` or fp32')
    if device == "cpu" and precision == "bf16" and engine == "auto" and not has_bf16():
        raise DeviceError(
            "this CPU has no bf16 arithmetic, so bf16 would be emulated, several times slower than fp32; extract with "
            '`precision="fp32"`, or name the engine to have it all the same: `engine="eager"`'
        )
    if engine == "openvino" and device != "cpu":
        raise DeviceError(
            f'the engine openvino runs on the CPU, not on {device}; use `device="cpu"`, or `engine="compile"`'
        )
    if engine == "openvino":
        require_openvino()


def make_engine(
    backbone: Backbone | DeferredBackbone,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    threads: int | None = None,
    expected_rows: int | None = None,
) -> Engine:
    """Choose how to run a backbone. Nothing is built before `Engine.prepare`.

    Parameters
    ----------
    backbone : Backbone or DeferredBackbone
        A deferred one is built only where nothing that an earlier start prepared can be used; what OpenVINO prepares of
        it is kept in the user's cache folder, see `featstore.engines.prepared`.
    engine : {"auto", "eager", "compile", "openvino"}
        "auto": on a CPU, OpenVINO where it is installed, else torch.compile where there is a C++ compiler and the
        images are many, else eager; on CUDA torch.compile for many images, else eager. Where several suit, a short
        measurement decides, once for each machine and network.
    device : {"auto", "cpu", "cuda", "cuda:N", "mps"}
    precision : {"fp32", "bf16", "fp16"}
        fp16 is for GPUs only: on a CPU it would be emulated, slower than fp32. So would bf16 on a CPU without bf16
        arithmetic: there it needs an engine that is named.
    batch_size : int, optional
        Images to hand over at a time, of which `SHARD_ROWS` count; default by engine.
    threads : int, optional
        Cores of the CPU to use; default: those that this process may use.
    expected_rows : int, optional
        How many images will come: decides whether measuring and, under auto, compiling pay. Default: few.

    Raises
    ------
    DeviceError
        A device that is not there, or a combination that cannot be run.
    MissingExtraError
        OpenVINO asked for by name and not installed.
    UnknownNameError
        No such engine, device or precision.

    Examples
    --------
    >>> from featstore.backbone.backbone import Backbone
    >>> engine = make_engine(Backbone("resnet18", "none", input_size=32), engine="eager", device="cpu", threads=1)
    >>> engine.nodes, engine.provenance["engine"]
    (('avgpool',), 'eager')
    >>> engine.close()
    """
    device = find_device(device)
    check_request(engine, device, precision)
    batch_size = None if batch_size is None else min(batch_size, SHARD_ROWS)
    network = backbone if isinstance(backbone, DeferredBackbone) else DeferredBackbone.of(backbone, precision)
    on_openvino = device == "cpu" and engine in ("auto", "openvino") and has_openvino()
    place = None
    if on_openvino and network.by_name:
        place = PreparedPlace(list(network.specs.fingerprints.values()), {"engine": engine, "threads": threads})
    note = ""
    if device == "cpu" and engine == "auto" and not on_openvino:
        note = "OpenVINO is not installed; pip install 'featstore[openvino]' makes this and later starts faster"
    return Engine(
        network, lambda: _options(network.backbone, engine, device, precision, batch_size, threads, expected_rows),
        device, precision, rows=expected_rows, note=note, threads=threads, batch_size=batch_size, place=place,
    )  # fmt: skip


def _options(
    backbone: Backbone,
    engine: str,
    device: str,
    precision: str,
    batch_size: int | None,
    threads: int | None,
    expected_rows: int | None,
) -> list[EngineOption]:
    """The ways to run a backbone, the usual one first."""
    from featstore.engines.cuda_runner import CudaRunner, cuda_batch
    from featstore.engines.torch_runner import TorchRunner, missing_compiler, torch_batch

    def with_torch(compile: bool) -> EngineOption:
        def build() -> Runner:
            if device.startswith("cuda"):
                return CudaRunner(backbone, device=device, precision=precision, compile=compile, batch_size=batch_size)
            return TorchRunner(
                backbone, device=device, precision=precision, compile=compile, batch_size=batch_size, threads=threads
            )

        usual = cuda_batch(batch_size) if device.startswith("cuda") else torch_batch(device, batch_size, threads)
        return EngineOption("compile" if compile else "eager", build, usual)

    def with_openvino(request: int) -> EngineOption:
        return EngineOption(
            f"openvino/{request}",
            lambda: OpenVINORunner(
                backbone, precision=precision, request=request, threads=threads, batch_size=batch_size
            ),
            openvino_batch(request, batch_size, threads),
        )

    options = []
    if device == "cpu" and engine in ("auto", "openvino") and has_openvino():
        usual = usual_request(backbone)
        options = [with_openvino(usual), with_openvino(1 if usual > 1 else 8)]
    many = (expected_rows or 0) >= MIN_ROWS_TO_COMPILE
    compiling = device.startswith("cuda") or (device == "cpu" and not missing_compiler())
    if engine == "compile" or (engine == "auto" and not options and many and compiling):
        options.append(with_torch(True))
    if engine in ("auto", "eager"):
        options.append(with_torch(False))
    return options
