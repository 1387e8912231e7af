"""Batches in shared memory stay valid as long as they are held, and are used again afterwards."""

import gc
import os

import numpy as np
import pytest

from featstore.decoding.pool import DecodePool
from featstore.decoding.shared_memory import SharedBuffers
from featstore.system.interpreter import anonymous_file
from tests.support.pool_inputs import SPEC, reference, write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_batches_stay_valid_as_long_as_they_are_held(tmp_path):
    items = write(tmp_path, 40)
    with DecodePool(SPEC, workers=2, batch_size=4) as pool:
        batches = list(pool.run(items))
        rows = [batch.images[1] for batch in batches]
        assert len(pool._memory) >= 10
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), reference(items))
    del batches
    gc.collect()
    np.testing.assert_array_equal(np.stack(rows), reference(items)[1::4])


def test_slot_is_taken_again_only_when_no_view_of_it_is_left():
    memory = SharedBuffers(5000)
    slot = memory.take()
    view = memory.array(slot).reshape(50, 100)[3:5, ::2].T
    view[:] = 7
    assert memory.take() == slot + 1
    gc.collect()
    assert memory.take() == slot + 2 and (view == 7).all()
    del view
    gc.collect()
    assert memory.take() == slot and len(memory) == 3
    memory.close()


def test_the_size_of_a_slot_can_change_until_one_is_taken():
    memory = SharedBuffers(10)
    memory.resize(20_000)
    array = memory.array(memory.take())
    assert array.shape == (20_000,) and memory.offset(1) >= 20_000
    with pytest.raises(ValueError, match=r"1 slots of 20000 bytes were taken"):
        memory.resize(5)
    memory.close()


def test_what_is_written_to_the_file_is_seen_in_the_array():
    memory = SharedBuffers(10)
    for value in (1, 2):
        slot = memory.take()
        os.pwrite(memory.fd, bytes([value]) * 10, memory.offset(slot))
        array = memory.array(slot)
        assert array.shape == (10,) and (array == value).all()
    memory.close()


def test_anonymous_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    descriptor = anonymous_file()
    os.write(descriptor, b"x")
    assert os.pread(descriptor, 1, 0) == b"x" and os.listdir(tmp_path) == []
    os.close(descriptor)
