"""A decoder that crashes, spins or eats memory loses one image; nobody waits for ever, nobody is blamed for another."""

import contextlib
import hashlib
import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featstore.decoding.pool import DecodePool
from featstore.decoding.scheduler import Batch
from tests.support.pictures import encode, texture
from tests.support.pool_inputs import FAULTY, SPEC, gather, reference, write

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
    pytest.mark.usefixtures("all_at_once"),
]


DEEDS = {
    b"#segfault": r"crashed \(SIGSEGV\), twice",
    b"#spin": r"took longer than 1\.5 s, twice",
    b"#spin-in-c": r"took longer than 1\.5 s, twice",
    b"#eat": r"needs more than 400 MiB of memory, twice",
    b"#exit": r"ended with status 3, twice",
    b"#kill": r"was killed by the system \(out of memory\?\), twice",
    b"#raise": r"ended with status 1, twice",
}


@pytest.mark.parametrize("deed", DEEDS, ids=lambda d: d.decode()[1:])
def test_decoder_that_misbehaves_loses_one_image(tmp_path, deed):
    items = write(tmp_path, 23, {6: deed})
    limits = {"seconds_per_image": 1.5 if b"spin" in deed else 30.0, "bytes_per_image": 400 << 20}
    with DecodePool(SPEC, workers=2, batch_size=4, decoder=FAULTY, **limits) as pool:
        images, status, reasons = gather(pool, items)
        assert pool.replaced == 2 and len(pool._supervisor.processes) == 2
    assert status.tolist() == [0] * 6 + [2] + [0] * 16
    assert reasons[6].startswith("decoding ")
    assert re.search(DEEDS[deed], reasons[6])
    ok = status == 0
    np.testing.assert_array_equal(images[ok], reference([item for item, k in zip(items, ok, strict=True) if k]))
    assert not images[6].any()


def test_many_bad_images_side_by_side_are_each_blamed_and_nobody_else(tmp_path):
    bad = {number: [b"#segfault", b"#exit", b"#raise"][number % 3] for number in (0, 1, 2, 9, 10, 19)}
    items = write(tmp_path, 20, bad)
    with DecodePool(SPEC, workers=2, batch_size=4, decoder=FAULTY) as pool:
        images, status, _ = gather(pool, items)
    assert {int(number) for number in np.flatnonzero(status)} == set(bad)
    ok = status == 0
    np.testing.assert_array_equal(images[ok], reference(items)[ok])


@pytest.mark.parametrize("deed", ["crash-once", "eat-once"])
def test_image_that_fails_once_is_tried_again_and_not_blamed(tmp_path, deed):
    (tmp_path / "pictures").mkdir()
    items = write(tmp_path / "pictures", 9, {4: f"#{deed}={tmp_path / 'mark'}".encode()})
    with DecodePool(SPEC, workers=1, batch_size=4, decoder=FAULTY) as pool:
        images, status, _ = gather(pool, items)
        assert pool.replaced == 1
    assert (tmp_path / "mark").exists() and not status.any()
    np.testing.assert_array_equal(images, reference(items))


def test_worker_killed_from_outside_is_replaced_and_nothing_is_lost(tmp_path):
    items = write(tmp_path, 60)
    with DecodePool(SPEC, workers=2, batch_size=4) as pool:
        parts = []
        for number, batch in enumerate(pool.run(items)):
            if number in (1, 5, 9):
                os.kill(pool._supervisor.processes[0].pid, signal.SIGKILL)
            assert not batch.status.any()
            parts.append(batch.images)
        assert pool.replaced >= 2
    np.testing.assert_array_equal(np.concatenate(parts), reference(items))


@pytest.mark.parametrize(("slow", "processes"), [(False, 4), (True, 2)])
def test_processes_are_added_where_the_caller_waits_for_them(tmp_path, monkeypatch, slow, processes):
    monkeypatch.setattr("featstore.decoding.pool.AT_FIRST", 0.5)
    items = write(tmp_path, 100) * (6 if slow else 30)
    with DecodePool(SPEC, workers=4, batch_size=64) as pool:
        run = pool.run(items)
        pool.wait()
        assert len(pool._supervisor.processes) == 2
        parts = []
        for batch in run:
            parts.append(batch.images.copy())
            time.sleep(0.4 if slow else 0)
        assert len(pool._supervisor.processes) == processes and pool.replaced == 0
    np.testing.assert_array_equal(np.concatenate(parts), np.tile(reference(items[:100]), (len(items) // 100, 1, 1, 1)))


def test_processes_that_cannot_be_added_are_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr("featstore.decoding.pool.AT_FIRST", 0.5)
    items = write(tmp_path, 100) * 30
    with DecodePool(SPEC, workers=4, batch_size=64) as pool:
        run = pool.run(items)
        pool.wait()

        def refuse(*how, **options):
            raise OSError(11, "Resource temporarily unavailable")

        monkeypatch.setattr("featstore.decoding.worker_process.start", refuse)
        images = np.concatenate([batch.images.copy() for batch in run])
        assert len(pool._supervisor.processes) == 2 and pool._supervisor._size == 2
    np.testing.assert_array_equal(images, np.tile(reference(items[:100]), (30, 1, 1, 1)))


def test_a_run_that_was_ended_says_so(tmp_path):
    items = write(tmp_path, 40)
    pool = DecodePool(SPEC, workers=2, batch_size=4)
    first = pool.run(items)
    next(first)
    second = pool.run(items)
    next(second)
    with pytest.raises(RuntimeError, match="the pool was closed, or began another run, before this one was at its end"):
        list(first)
    assert len(list(second)) == 9
    third = pool.run(items)
    next(third)
    pool.close()
    with pytest.raises(RuntimeError, match="the pool was closed"):
        list(third)


def test_decoding_pauses_where_batches_are_not_taken(tmp_path):
    notes = tmp_path / "notes"
    (tmp_path / "pictures").mkdir()
    items = write(tmp_path / "pictures", 4, dict.fromkeys(range(4), f"#note={notes}".encode())) * 100
    with DecodePool(SPEC, workers=2, batch_size=8, decoder=FAULTY) as pool:
        run = pool.run(items)
        next(run)
        time.sleep(1)
        paused = notes.stat().st_size
        time.sleep(0.3)
        assert 16 <= paused == notes.stat().st_size <= 48
        assert sum(len(batch.status) for batch in run) == 392


def test_memory_is_used_again_where_batches_are_dropped(tmp_path):
    items = write(tmp_path, 30) * 20
    with DecodePool(SPEC, workers=2, batch_size=4) as pool:
        for _ in pool.run(items):
            pass
        assert len(pool._memory) <= 8


def test_very_long_paths_do_not_block(tmp_path):
    deep = os.fsencode(tmp_path) + b"/./" * 1000
    items = [(deep + path.rpartition(b"/")[2], digest) for path, digest in write(tmp_path, 20)] * 10
    with DecodePool(SPEC, workers=1, batch_size=200) as pool:
        _, status, _ = gather(pool, items)
    assert not status.any()


def random_troubles(folder: Path, seed: int) -> tuple[list[tuple[bytes, bytes]], set[int], set[int]]:
    """Pictures, of which some crash the decoder always and some once; returns the items and which are which."""
    rng = np.random.default_rng(seed)
    endings, bad, once = {}, set(), set()
    for number, chance in enumerate(rng.random(int(rng.integers(5, 60)))):
        if chance < 0.08:
            endings[number] = rng.choice([b"#segfault", b"#exit", b"#raise", b"#kill", b"#eat"])
            bad.add(number)
        elif chance < 0.16:
            deed = rng.choice(["crash-once", "eat-once"])
            endings[number] = f"#{deed}={folder / f'mark{number}'}".encode()
            once.add(number)
        else:
            endings[number] = b""
    (folder / "pictures").mkdir()
    return write(folder / "pictures", len(endings), endings), bad, once


def run_with_troubles(folder: Path, seed: int) -> None:
    items, bad, once = random_troubles(folder, seed)
    workers, batch_size = 1 + seed % 4, (1, 3, 8, 32)[seed // 4 % 4]
    over = threading.Event()

    def kill(pool: DecodePool) -> None:
        rng = np.random.default_rng(seed)
        while not over.wait(0.3 + rng.random()):
            with contextlib.suppress(ProcessLookupError, ValueError, IndexError, AttributeError):
                processes = [m for m in pool._supervisor.processes if m.ready or rng.random() < 0.3]
                os.kill(processes[rng.integers(len(processes))].pid, signal.SIGKILL)

    limits = {"seconds_per_image": 60.0, "bytes_per_image": 300 << 20}
    with DecodePool(SPEC, workers=workers, batch_size=batch_size, decoder=FAULTY, **limits) as pool:
        killer = threading.Thread(target=kill, args=(pool,))
        killer.start()
        try:
            images, status, reasons = gather(pool, items)
        finally:
            over.set()
            killer.join()
    failed = {int(number) for number in np.flatnonzero(status)}
    assert failed >= bad
    # Who is hit by the killer twice, or by the killer and its own crash, is given up.
    assert all("killed by the system" in reasons[number] or number in once for number in failed - bad)
    ok = status == 0
    np.testing.assert_array_equal(images[ok], reference(items)[ok])


@pytest.mark.parametrize("seed", [0, 9])
def test_crashes_and_kills_at_random_times(tmp_path, seed):
    run_with_troubles(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 180))
def test_crashes_and_kills_at_random_times_for_long(tmp_path, seed):
    run_with_troubles(tmp_path, seed)


def test_texts_of_a_batch_are_reasons_or_remarks():
    images, status = np.zeros((3, 2, 2, 3), np.uint8), np.array([0, 1, 0], np.uint8)
    batch = Batch.of(5, images, status, ["the first of 2 pages", "empty", ""])
    assert batch.reasons == ("", "empty", "") and batch.remarks == ("the first of 2 pages", "", "")
    assert batch.texts == ("the first of 2 pages", "empty", "")
    plain = Batch.of(5, images, status, ["", "empty", ""])
    assert plain.remarks == () and plain.texts == ("", "empty", "")


@pytest.mark.parametrize("workers", [0, 1])
def test_remarks_come_through_the_pool(tmp_path, workers):
    frames = [Image.fromarray(texture(i)) for i in range(3)]
    data = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    (tmp_path / "pages.tif").write_bytes(data)
    items = [*write(tmp_path, 3), (os.fsencode(tmp_path / "pages.tif"), hashlib.sha256(data).digest())]
    with DecodePool(SPEC, workers=workers) as pool:
        (batch,) = pool.run(items)
    assert batch.status.tolist() == [0] * 4 and batch.reasons == ("",) * 4
    assert batch.remarks == ("", "", "", "the first of 3 pages")
