"""Decoding processes of real programs: no guard needed, no orphans, no leftovers."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from featstore.decoding.pool import DecodePool
from featstore.errors import FeatstoreError
from tests.support.pool_inputs import SPEC, alive, descriptors, wait_until, write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_interpreter_that_is_not_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = descriptors()
    with pytest.raises(FeatstoreError, match=r"cannot be started: .*No such file.*workers=0"):
        DecodePool(SPEC, workers=2).start()
    gc.collect()
    assert descriptors() == before


SCRIPT = textwrap.dedent("""
    import os, sys
    from featstore.decoding import pool as pools
    from featstore.decoding.pool import DecodePool
    from featstore.decoding.pixels.transform import TransformSpec
    import hashlib
    pools.AT_FIRST = 1.0
    items = [(os.fsencode(p), hashlib.sha256(open(p, "rb").read()).digest()) for p in sys.argv[1:]] * 50
    limits = {"workers": 2, "batch_size": 4, "seconds_per_image": 3}
    pool = DecodePool(TransformSpec(40, 32), decoder="tests.support.faulty_decoders:decode", **limits)
    for number, batch in enumerate(pool.run(items)):
        if number == 1:
            print(*[process.pid for process in pool._supervisor.processes], flush=True)
    print("done", flush=True)
""")


def start_script(tmp_path: Path, endings: dict[int, bytes]) -> tuple[subprocess.Popen, list[int]]:
    """Run a program without a `__main__` guard; returns it and the pids of its workers."""
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    (tmp_path / "pictures").mkdir()
    paths = [os.fsdecode(path) for path, _ in write(tmp_path / "pictures", 12, endings)]
    root = Path(__file__).resolve().parents[3]
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
    program, pids = start_script(tmp_path, {10: b"#spin-in-c", 11: b"#spin-in-c"})
    time.sleep(0.5)
    held = shared_memory_of([program.pid, *pids])  # other programs come and go in /dev/shm
    program.kill()
    program.communicate(timeout=10)
    assert wait_until(lambda: not any(alive(pid) for pid in pids))  # the spinning ones by their own alarm
    assert not [path for path in held if path.exists()]


def shared_memory_of(pids: list[int]) -> set[Path]:
    """Named files in /dev/shm that processes have mapped or open."""
    found = set()
    for pid in pids if Path("/proc").exists() else []:
        words = Path(f"/proc/{pid}/maps").read_text().split()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                words.append(str(entry.readlink()))
        found |= {Path(word) for word in words if word.startswith("/dev/shm/")}
    return {path for path in found if path.exists()}


def test_ctrl_c_ends_the_program_and_its_workers_quietly(tmp_path):
    program, pids = start_script(tmp_path, {10: b"#spin", 11: b"#spin"})
    os.killpg(program.pid, signal.SIGINT)  # as the terminal does: to all processes of the group
    _, err = program.communicate(timeout=10)
    assert program.returncode in (-signal.SIGINT, 130, 1)
    assert err.count("Traceback") == 1 and err.rstrip().endswith("KeyboardInterrupt")
    assert wait_until(lambda: not any(alive(pid) for pid in pids), 2)
