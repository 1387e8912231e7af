"""Processes to be killed: forked from one that has imported everything, so that hundreds of them are affordable."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache

from featstore import FeatureStore
from tests.support import deeds


@cache
def _context():
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pytest", "tests.support.deeds", "tests.support.ready_network", "featstore_scripts.extract"]
    )
    return context


def start(deed, *args, **kwargs):
    """A process that does one of `tests.support.deeds`."""
    process = _context().Process(target=deeds.begin, args=(deed, args, kwargs))
    process.start()
    return process


def run(deed, *args, seconds=120, **kwargs) -> int:
    """Do it to its end: 0, its exit status, or minus the signal that ended it."""
    process = start(deed, *args, **kwargs)
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"{deed} {args} hangs")
    return process.exitcode


def kill_after(process, seconds) -> bool:
    """SIGKILL after so long; False where it had ended by itself by then."""
    process.join(seconds)
    early = process.exitcode is None
    process.kill()
    process.join()
    return early


def strace_kill(number, call, deed, *args, seconds=60) -> int:
    """SIGKILL at the Nth system call of that name, in whichever thread gets there first."""
    options = ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
    return _traced(options, deed, args, seconds)


def strace_names(deed, *args, seconds=60) -> dict[str, int]:
    """How often a deed makes which system call."""
    with tempfile.NamedTemporaryFile("r") as file:
        assert _traced(["-c", "-U", "name,calls", "-o", file.name], deed, args, seconds) == 0
        lines = [line.split() for line in file.read().splitlines()]
    counts = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
    counts.pop("total", None)  # the sum, in the last line of newer versions
    return counts


def _traced(options, deed, args, seconds):
    process = start("stopped", deed, *args)
    try:
        _wait_for_stop(process.pid)
        command = ["strace", "-f", "-qq", *options, "-p", str(process.pid)]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _wait_for_tracer(process.pid, tracer)
            os.kill(process.pid, signal.SIGCONT)
            process.join(seconds)
            assert process.exitcode is not None, f"it hangs under strace {options}"
            tracer.wait(10)
        finally:
            tracer.kill()
        return process.exitcode
    finally:
        process.kill()
        process.join()


def can_strace() -> str:
    """Why system calls cannot be injected here; "" where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else f"strace is not allowed to trace: {probe.stderr.strip()[:100]}"


def store_digest(path) -> str:
    """One hash over all that a store says: its image sets' order and every row, whatever the cut into shards."""
    store = FeatureStore(path)
    parts = [f"{name}:{store.imageset(name).paths}:{store.imageset(name).labels.tolist()}" for name in store.datasets()]
    parts += [f"{info.key}:{store.table(info.key).snapshot().content_sha256()}" for info in store.features()]
    return "\n".join(parts)


def committed(path, key):
    """Digest -> bytes of the features of every row that a reader sees; empty where there is no store yet."""
    if not (path / "store.json").exists():
        return {}
    snapshot = FeatureStore(path).table(key).snapshot()
    live = snapshot.live()
    if not len(live):
        return {}
    rows = snapshot.rows(live)
    return {d.tobytes(): x.tobytes() for d, x in zip(rows.digests, rows.X, strict=True)}


def agree(found, reference) -> None:
    """Every row found is as in the reference."""
    assert all(reference[digest] == x for digest, x in found.items())


def _wait_for_stop(pid):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            if file.read().rpartition(")")[2].split()[0] == "T":
                return
        time.sleep(0.001)
    raise AssertionError("the process did not stop")


def _wait_for_tracer(pid, tracer):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
            if f"TracerPid:\t{tracer.pid}\n" in file.read():
                return
        if tracer.poll() is not None:
            raise AssertionError(f"strace ended: {tracer.stderr.read()}")
        time.sleep(0.001)
    raise AssertionError("strace did not attach")
