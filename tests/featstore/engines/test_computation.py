import gc
import weakref

import numpy as np
import pytest
import torch

from featstore.engines.computation import Computation, run_with_halving
from featstore.errors import DeviceError
from featstore.system.machine import is_out_of_memory


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
