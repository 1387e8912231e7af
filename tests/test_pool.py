"""Batches come in order and with the same bits, whatever happens to the processes that decode."""

import gc
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from featstore.decode import decode
from featstore.errors import DecodeError, FeatstoreError
from featstore.imageset import scan
from featstore.pool import DecodePool, usable_cores
from featstore.transform import TransformSpec
from tests.pictures import encode, hostile, texture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

SPEC = TransformSpec(resize=40, crop=32)
FAULTY = "tests.faulty:decode"


def write(folder: Path, count: int, endings: dict[int, bytes] | None = None) -> list[tuple[bytes, bytes]]:
    """Small pictures as files; `endings` are appended to some. Returns the items of a run."""
    items = []
    for number in range(count):
        data = encode(texture(number, 40 + number % 5, 36)) + (endings or {}).get(number, b"")
        path = folder / f"{number:04d}.jpg"
        path.write_bytes(data)
        items.append((os.fsencode(path), hashlib.sha256(data).digest()))
    return items


def reference(items: list[tuple[bytes, bytes]]) -> np.ndarray:
    return np.stack([SPEC.apply(decode(Path(os.fsdecode(path)).read_bytes())) for path, _ in items])


def gather(pool: DecodePool, items: list[tuple[bytes, bytes]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Everything that a run yields, copied, after a check of the order."""
    images, status, reasons = [], [], []
    for batch in pool.run(items):
        assert batch.start == len(reasons)
        assert len(batch.images) == len(batch.status) == len(batch.reasons)
        assert batch.images.dtype == np.uint8 and batch.status.dtype == np.uint8
        np.testing.assert_array_equal(batch.changed, batch.status == 3)
        images.append(batch.images.copy())
        status.append(batch.status)
        reasons.extend(batch.reasons)
    return np.concatenate(images), np.concatenate(status), reasons


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


@pytest.mark.parametrize("workers", [0, 1])
def test_file_larger_than_an_image_may_take_is_not_read(tmp_path, workers):
    items = write(tmp_path, 3)
    os.truncate(items[1][0], 200_000_000)
    with DecodePool(SPEC, workers=workers, bytes_per_image=150_000_000) as pool:
        _, status, reasons = gather(pool, items)
    assert status.tolist() == [0, 2, 0]
    assert "more than the 150,000,000 that an image may take" in reasons[1]


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
        assert pool.replaced == 2 and len(pool._crew.members) == 2
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
                os.kill(pool._crew.members[0].pid, signal.SIGKILL)
            assert not batch.status.any()
            parts.append(batch.images)
        assert pool.replaced >= 2
    np.testing.assert_array_equal(np.concatenate(parts), reference(items))


def test_stopped_worker_is_killed_after_a_grace_and_its_image_done_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("featstore.crew.GRACE_SECONDS", 0.3)
    items = write(tmp_path, 12)
    with DecodePool(SPEC, workers=1, batch_size=4, seconds_per_image=0.5) as pool:
        run = pool.run(items)
        parts = [next(run).images]
        os.kill(pool._crew.members[0].pid, signal.SIGSTOP)
        parts += [batch.images for batch in run]
    np.testing.assert_array_equal(np.concatenate(parts), reference(items))


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


def test_memory_is_used_again_where_batches_are_dropped(tmp_path):
    items = write(tmp_path, 30) * 20
    with DecodePool(SPEC, workers=2, batch_size=4) as pool:
        for _ in pool.run(items):
            pass
        assert len(pool._memory) <= 8


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


def test_very_long_paths_do_not_block(tmp_path):
    deep = os.fsencode(tmp_path) + b"/./" * 1000
    items = [(deep + path.rpartition(b"/")[2], digest) for path, digest in write(tmp_path, 20)] * 10
    with DecodePool(SPEC, workers=1, batch_size=200) as pool:
        _, status, _ = gather(pool, items)
    assert not status.any()


def test_descriptors_and_processes_are_given_back(tmp_path):
    items = write(tmp_path, 8)
    before = descriptors()
    pids = []
    for _ in range(3):
        with DecodePool(SPEC, workers=2, batch_size=4) as pool:
            gather(pool, items)
            pids += [member.pid for member in pool._crew.members]
    gc.collect()
    assert descriptors() == before
    assert not any(alive(pid) for pid in pids)


def test_pool_that_is_forgotten_ends_its_processes(tmp_path):
    pool = DecodePool(SPEC, workers=1)
    gather(pool, write(tmp_path, 2))
    (pid,) = [member.pid for member in pool._crew.members]
    del pool
    gc.collect()
    assert not alive(pid)


def test_workers_import_no_torch(tmp_path):
    with DecodePool(SPEC, workers=1, decoder="tests.faulty:imports") as pool:
        _, status, reasons = gather(pool, write(tmp_path, 1))
    assert status.tolist() == [1] and reasons == ["none"]


def test_processes_that_cannot_start_are_one_clear_error():
    pool = DecodePool(SPEC, workers=1, decoder="no_such_module:decode")
    with (
        pool,
        pytest.raises(
            FeatstoreError, match=r"3 in a row, the last one ended with status 1 \(.*no_such_module.*workers=0"
        ),
    ):
        list(pool.run([(b"/nowhere", bytes(32))]))


def test_interpreter_that_is_not_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = descriptors()
    with pytest.raises(FeatstoreError, match=r"cannot be started: .*No such file.*workers=0"):
        DecodePool(SPEC, workers=2).start()
    gc.collect()
    assert descriptors() == before


@pytest.mark.parametrize(
    "options", [{"workers": -1}, {"batch_size": 0}, {"seconds_per_image": 0}, {"bytes_per_image": 0}]
)
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DecodePool(SPEC, **options)


def test_default_is_a_worker_a_core():
    assert DecodePool(SPEC).workers == usable_cores() >= 1


def descriptors() -> int:
    """How many this process has open; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


SCRIPT = textwrap.dedent("""
    import os, sys
    from featstore.pool import DecodePool
    from featstore.transform import TransformSpec
    import hashlib
    items = [(os.fsencode(p), hashlib.sha256(open(p, "rb").read()).digest()) for p in sys.argv[1:]] * 50
    limits = {"workers": 2, "batch_size": 4, "seconds_per_image": 3}
    pool = DecodePool(TransformSpec(40, 32), decoder="tests.faulty:decode", **limits)
    for number, batch in enumerate(pool.run(items)):
        if number == 1:
            print(*[member.pid for member in pool._crew.members], flush=True)
    print("done", flush=True)
""")


def start_script(tmp_path: Path, endings: dict[int, bytes]) -> tuple[subprocess.Popen, list[int]]:
    """Run a program without a `__main__` guard; returns it and the pids of its workers."""
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    (tmp_path / "pictures").mkdir()
    paths = [os.fsdecode(path) for path, _ in write(tmp_path / "pictures", 12, endings)]
    root = Path(__file__).resolve().parents[1]
    program = subprocess.Popen(
        [sys.executable, str(script), *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert len(pids) == 2
    return program, pids


def test_program_needs_no_main_guard(tmp_path):
    program, pids = start_script(tmp_path, {})
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out, err) == (0, "done\n", "")
    assert not any(alive(pid) for pid in pids)


def test_no_orphans_and_no_shared_memory_after_the_program_is_killed(tmp_path):
    shm = Path("/dev/shm")
    before = set(os.listdir(shm)) if shm.exists() else set()
    program, pids = start_script(tmp_path, {10: b"#spin-in-c", 11: b"#spin-in-c"})
    time.sleep(0.5)
    program.kill()
    program.communicate(timeout=10)
    assert wait_until(lambda: not any(alive(pid) for pid in pids))  # the spinning ones by their own alarm
    assert (set(os.listdir(shm)) if shm.exists() else set()) == before


def test_ctrl_c_ends_the_program_and_its_workers_quietly(tmp_path):
    program, pids = start_script(tmp_path, {10: b"#spin", 11: b"#spin"})
    os.killpg(program.pid, signal.SIGINT)  # as the terminal does: to all processes of the group
    _, err = program.communicate(timeout=10)
    assert program.returncode in (-signal.SIGINT, 130, 1)
    assert err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt")
    assert wait_until(lambda: not any(alive(pid) for pid in pids), 2)
