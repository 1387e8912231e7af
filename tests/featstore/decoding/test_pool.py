"""Batches come in order and with the same bits, whatever happens to the processes that decode."""

import gc
import hashlib
import os
import select
import time
from pathlib import Path

import numpy as np
import pytest

from featstore.decoding.pixels.decode import decode
from featstore.decoding.pool import DecodePool
from featstore.discovery.scanning import scan
from featstore.errors import DecodeError
from featstore.system.machine import usable_cores
from tests.support.pictures import encode, hostile, texture
from tests.support.pool_inputs import SPEC, alive, descriptors, gather, reference, write

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
    pytest.mark.usefixtures("all_at_once"),
]


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_same_bits_in_order_for_any_number_of_workers(tmp_path, workers, batch_size):
    items = write(tmp_path, 29)
    with DecodePool(SPEC, workers=workers, batch_size=batch_size) as pool:
        sizes = [len(batch.status) for batch in pool.run(items)]
        images, status, reasons = gather(pool, items)  # a second run with the same processes
        assert pool.replaced == 0
    assert sizes == [min(batch_size, 29 - start) for start in range(0, 29, batch_size)]
    np.testing.assert_array_equal(images, reference(items))
    assert not status.any() and not any(reasons)


def test_nothing_to_do_yields_nothing():
    with DecodePool(SPEC, workers=1) as pool:
        assert list(pool.run([])) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_keep_their_slot_with_a_reason_and_move_nobody(tmp_path, workers):
    items = write(tmp_path, 12)
    good = reference(items)
    (tmp_path / "0001.jpg").write_bytes(b"<html></html>")
    items[1] = (items[1][0], hashlib.sha256(b"<html></html>").digest())
    (tmp_path / "0003.jpg").unlink()
    (tmp_path / "0005.jpg").write_bytes(encode(texture(99)))  # another picture than the one listed
    (tmp_path / "0007.jpg").unlink()
    os.mkfifo(tmp_path / "0007.jpg")
    (tmp_path / "0009.jpg").unlink()
    (tmp_path / "0009.jpg").mkdir()
    before = descriptors()
    with DecodePool(SPEC, workers=workers, batch_size=5) as pool:
        images, status, reasons = gather(pool, items)
    assert descriptors() == before
    assert status.tolist() == [0, 1, 0, 2, 0, 3, 0, 2, 0, 2, 0, 0]
    assert reasons[1] == "not a supported image: HTML"
    assert "No such file" in reasons[3] and "not a regular file" in reasons[7]
    assert "changed since it was listed" in reasons[5] and reasons[9].startswith("cannot be read")
    ok = status == 0
    np.testing.assert_array_equal(images[ok], good[ok])
    assert not images[~ok].any()


def test_hostile_files_leave_the_good_ones_bit_identical(tmp_path):
    items = write(tmp_path, 30)
    good = reference(items)
    mixed, is_good = [], []
    files = list(hostile().items())
    for number, item in enumerate(items):
        for name, data in files[number * 2 : number * 2 + 2]:
            (tmp_path / name).write_bytes(data)
            mixed.append((os.fsencode(tmp_path / name), hashlib.sha256(data).digest()))
            is_good.append(False)
        mixed.append(item)
        is_good.append(True)
    with DecodePool(SPEC, workers=2, batch_size=16, bytes_per_image=512 << 20) as pool:
        images, status, reasons = gather(pool, mixed)
    np.testing.assert_array_equal(status == 0, is_good)
    np.testing.assert_array_equal(images[is_good], good)
    assert all(reasons[i] for i in np.flatnonzero(status))


def test_public_hostile_files_in_bounded_time_and_memory(shared_data):
    images = scan(shared_data / "odd")
    items = [(images.absolute(i), images.digests[i].tobytes()) for i in range(len(images))]
    with DecodePool(SPEC, workers=2, seconds_per_image=10, bytes_per_image=512 << 20) as pool:
        pixels, status, reasons = gather(pool, items)
    assert len(items) > 390 and set(status.tolist()) == {0, 1}
    for i, (path, _) in enumerate(items):
        try:
            expected = SPEC.apply(decode(Path(os.fsdecode(path)).read_bytes()))
            np.testing.assert_array_equal(pixels[i], expected)
        except DecodeError as error:
            assert reasons[i] == str(error)


def test_abandoned_run_does_not_disturb_the_next(tmp_path):
    items = write(tmp_path, 40)
    with DecodePool(SPEC, workers=2, batch_size=4) as pool:
        abandoned = pool.run(items)
        next(abandoned)
        images, _, _ = gather(pool, items[::-1])
        np.testing.assert_array_equal(images, reference(items[::-1]))
        second = pool.run(items)
        next(second)
        second.close()
        abandoned.close()
        np.testing.assert_array_equal(gather(pool, items)[0], reference(items))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batch_size_may_be_told_when_the_processes_run_already(tmp_path, workers):
    items = write(tmp_path, 20)
    with DecodePool(SPEC, workers=workers) as pool:
        processes = [process.pid for process in pool._supervisor.processes] if workers else []
        for size in (3, 3, 7, 40):
            batches = list(pool.run(items, size))
            assert [len(batch.images) for batch in batches] == [min(size, 20 - i) for i in range(0, 20, size)]
            np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), reference(items))
            if workers and size == 3:
                assert [process.pid for process in pool._supervisor.processes] == processes


def test_descriptors_and_processes_are_given_back(tmp_path):
    items = write(tmp_path, 8)
    before = descriptors()
    pids = []
    for _ in range(3):
        with DecodePool(SPEC, workers=2, batch_size=4) as pool:
            gather(pool, items)
            pids += [process.pid for process in pool._supervisor.processes]
    gc.collect()
    assert descriptors() == before
    assert not any(alive(pid) for pid in pids)


def test_pool_that_is_forgotten_ends_its_processes(tmp_path):
    pool = DecodePool(SPEC, workers=1)
    gather(pool, write(tmp_path, 2))
    (pid,) = [process.pid for process in pool._supervisor.processes]
    del pool
    gc.collect()
    assert not alive(pid)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": -1},
        {"batch_size": 0},
        {"seconds_per_image": 0},
        {"seconds_per_image": float("inf")},
        {"bytes_per_image": 0},
    ],
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DecodePool(SPEC, **options)


def test_default_is_a_worker_a_core():
    assert DecodePool(SPEC).workers == usable_cores() >= 1


def test_decoding_begins_before_the_first_batch_is_asked_for(tmp_path):
    items = write(tmp_path, 12)
    with DecodePool(SPEC, workers=1, batch_size=4) as pool:
        batches = pool.run(items)
        processes = pool._supervisor.processes
        deadline = time.monotonic() + 60
        while not select.select(processes, [], [], 0.1)[0] and time.monotonic() < deadline:
            pass
        time.sleep(0.5)
        assert sum(len(results) for process in processes for results in [process.receive()]) > 0
        del batches
        images, status, _ = gather(pool, items)  # the run that was given up disturbs no later one
    np.testing.assert_array_equal(images, reference(items))
    assert not status.any()
