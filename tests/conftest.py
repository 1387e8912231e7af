"""Where the real pictures and weights are, if they are here at all."""

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

import pytest

if "FEATSTORE_TEST_CACHE" not in os.environ:  # workers and programs that tests start get it from here
    _cache = tempfile.TemporaryDirectory(prefix="featstore-test-cache-")
    os.environ["FEATSTORE_TEST_CACHE"] = os.environ["XDG_CACHE_HOME"] = _cache.name  # the user's own stays as it is

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a process: OpenMP threads of several processes on the same cores wait for each other in busy loops.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _shared(part: str) -> Path:
    root = Path(os.environ.get("FEATSTORE_TEST_DATA", Path(__file__).resolve().parents[1].parent / "shared"))
    if not (root / part).exists():
        pytest.skip(f"needs real data: {root / part} is not there (set FEATSTORE_TEST_DATA)")
    return root / part


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real image sets."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """A real ImageNet-trained MobileNetV2 state dict."""
    return _shared("weights/mobilenet_v2-imagenet.pth")


@pytest.fixture
def quick_path():
    """A folder in memory where there is one, for tests that make thousands of files or sync after each."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def compiler() -> str:
    """The C compiler that this Python was built with, where it and Python's headers are here."""
    name = (sysconfig.get_config_var("CC") or "").split()[:1]
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not name or shutil.which(name[0]) is None or not header.exists():
        pytest.skip("no C compiler, or no Python.h")
    return str(name[0])


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors on a busy machine: waiting for a second thread costs more than it brings, and bits depend on it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def all_at_once(monkeypatch):
    """Pools start all their processes at once, so that small runs are work for several."""
    monkeypatch.setattr("featstore.decoding.pool.AT_FIRST", 1.0)
