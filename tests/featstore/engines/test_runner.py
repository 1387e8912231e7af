"""What every runner of a network promises, kept by each of them: eager, CUDA's on the CPU, and OpenVINO."""

import gc
import importlib.util
import inspect
import json
import threading
import weakref
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch

from featstore.engines.cuda_runner import CudaRunner
from featstore.engines.openvino_runner import OpenVINORunner
from featstore.engines.runner import Computation, Pending, Runner, run_with_halving
from featstore.engines.torch_runner import TorchRunner
from featstore.errors import DeviceError
from featstore.system.machine import is_out_of_memory
from tests.support.engine_example import (
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")

MADE = {
    TorchRunner: {"device": "cpu", "precision": "fp32", "batch_size": 8, "threads": 2},
    CudaRunner: {"device": "cpu", "precision": "fp32", "batch_size": 8},
    OpenVINORunner: {"precision": "fp32", "request": 4, "batch_size": 8, "threads": 2},
}
NAMES = {TorchRunner: "eager", CudaRunner: "eager", OpenVINORunner: "openvino"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"), nodes=("features.1", "features.3"))


@pytest.fixture(params=MADE, ids=lambda kind: kind.__name__)
def runner(request, backbone):
    if request.param is OpenVINORunner and importlib.util.find_spec("openvino") is None:
        pytest.skip("needs OpenVINO: pip install 'featstore[openvino]'")
    runner = request.param(backbone, **MADE[request.param])
    runner.others = set(threading.enumerate())  # of other tests in this process
    runner.prepare()
    yield runner
    runner.close()


def test_every_method_of_the_interface_is_there_with_its_arguments(runner):
    methods = {name for name, value in vars(Runner).items() if inspect.isfunction(value) and name[0] != "_"}
    assert methods == {"prepare", "submit", "resize", "close"}
    for name in methods:
        wanted = inspect.signature(getattr(Runner, name)).parameters
        found = inspect.signature(getattr(type(runner), name)).parameters
        assert list(found) == list(wanted)
        assert [p.default for p in found.values()] == [p.default for p in wanted.values()]
    assert runner.name == NAMES[type(runner)] and runner.batch_size == 8


def test_features_are_torchvisions_one_float32_matrix_a_node(runner, backbone):
    pending = runner.submit(images(8))
    assert list(inspect.signature(pending.result).parameters) == list(inspect.signature(Pending.result).parameters)[1:]
    found = pending.result()
    assert [rows.shape for rows in found] == [(8, 16), (8, 24)] and isinstance(found, list)
    assert_same_features(found, torchvision_features(backbone, images(8)))


def test_bits_depend_on_the_image_alone_whatever_its_batch(runner):
    def in_batches(pixels):
        parts = [runner.submit(pixels[i : i + runner.batch_size]).result() for i in range(0, len(pixels), 8)]
        return [np.concatenate(rows) for rows in zip(*parts, strict=True)]

    assert_bits_depend_on_the_image_alone(in_batches, count=32)


def test_batches_under_way_at_once_do_not_touch_each_other(runner):
    pixels = [images(1 + i, seed=i) for i in range(4)]
    alone = [[rows.copy() for rows in runner.submit(part).result()] for part in pixels]
    together = [runner.submit(part) for part in pixels]
    results = [pending.result() for pending in together]
    for expected, found in zip(alone, results, strict=True):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)


def test_facts_are_json_and_name_what_changes_with_the_batch_size(runner):
    before = json.loads(json.dumps(runner.provenance))
    assert before == runner.provenance and before
    runner.resize(2)
    assert runner.batch_size == 2
    if not isinstance(runner, OpenVINORunner):  # its bits do not depend on the size of a request
        assert runner.provenance != before and 2 in runner.provenance.values()


def test_after_resize_it_goes_on_in_smaller_batches_with_the_same_features(runner, backbone):
    expected = torchvision_features(backbone, images(2))
    for size in (4, 2, 1):
        runner.resize(size)
        assert runner.batch_size == size
        assert_same_features(
            runner.submit(images(2)[:size]).result(), [rows[:size] for rows in expected]
        )  # fmt: skip


def test_what_was_handed_over_is_finished_by_close(runner, backbone):
    pending = runner.submit(images(8))
    runner.close()
    assert_same_features(pending.result(), torchvision_features(backbone, images(8)))


def test_close_without_finishing_drops_what_waits_and_leaves_no_thread(runner):
    waiting = [runner.submit(images(8, seed=i)) for i in range(30)]
    runner.close(finish=False)
    dropped = 0
    for pending in waiting:
        try:
            assert len(pending.result()[0]) == 8
        except CancelledError:
            dropped += 1
    if not isinstance(runner, CudaRunner):  # on the CPU its batches are computed while they are handed over
        assert dropped > 0
    left = {thread for thread in threading.enumerate() if thread.name.startswith("featstore-engine")}
    assert not left - runner.others


class Crowded:
    """A runner with room for so many images, which notices at submitting or at computing."""

    name = "crowded"
    facts = {}

    def __init__(self, batch_size, room, late, error=torch.OutOfMemoryError):
        self.batch_size, self.room, self.late, self.error = batch_size, room, late, error
        self.computed = []

    def submit(self, images):
        assert len(images) <= self.batch_size
        full = self.batch_size > self.room
        if full and not self.late:
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB")
        return Part(self, images, full)

    def resize(self, batch_size):
        self.batch_size = batch_size


class Part:
    def __init__(self, runner, images, full):
        self.runner, self.images, self.full = runner, images, full

    def result(self):
        if self.full:
            raise self.runner.error("CUDA out of memory. Tried to allocate 20.00 MiB")
        self.runner.computed.extend(self.images[:, 0, 0, 0].tolist())
        return [self.images[:, 0, 0, :1].astype(np.float32)]


def batch(count):
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1) * np.ones((1, 1, 1, 3), dtype=np.uint8)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("room", [100, 32, 9, 1])
def test_memory_that_runs_out_halves_the_batch_and_loses_no_image(room, late):
    runner = Crowded(32, room, late)
    (rows,) = Computation(runner, batch(75)).result()
    assert rows[:, 0].tolist() == list(range(75))
    assert sorted(runner.computed) == list(range(75))
    assert runner.batch_size == {100: 32, 32: 32, 9: 8, 1: 1}[room]


@pytest.mark.parametrize("late", [False, True])
def test_no_room_for_one_image_is_said(late):
    with pytest.raises(
        DeviceError, match='does not hold the network and one image .CUDA out of memory.*use `device="cpu"`'
    ):
        Computation(Crowded(8, 0, late), batch(3)).result()


def test_other_failures_are_not_swallowed():
    with pytest.raises(DeviceError, match=r"the engine crowded failed while it computed \(CUDA out.*with `engine`"):
        assert not is_out_of_memory(RuntimeError("illegal address"))
        Computation(
            Crowded(8, 0, True, error=lambda text: RuntimeError(text.replace("out of memory", "out"))), batch(3)
        ).result()


def test_what_failed_is_free_before_the_next_try():
    held = []

    class Holding(Crowded):
        def submit(self, images):
            tensor = torch.zeros(10)
            held.append(weakref.ref(tensor))
            return super().submit(images)

        def resize(self, batch_size):
            gc.collect()
            assert held[-1]() is None, "the failed batch still holds memory"
            super().resize(batch_size)

    run_with_halving(Holding(8, 2, False), batch(8))
    assert len(held) == 2 + 4


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("x"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
        ),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_the_ways_in_which_memory_runs_out(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_no_images_no_rows():
    assert Computation(Crowded(8, 8, False), batch(0)).result() == []
