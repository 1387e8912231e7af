import os
import subprocess
import sys

import pytest

from featstore.system import machine, processor_share
from featstore.system.processor_share import WAITING, free_cores, share_processor


def proc(folder, running):
    (folder / "stat").write_text(f"cpu 1 2 3\nprocs_running {running}\nprocs_blocked 0\n")
    return folder


@pytest.fixture
def machine_of(monkeypatch):
    def make(cores, usable=None):
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        monkeypatch.setattr(processor_share, "usable_cores", lambda: usable or cores)

    return make


@pytest.mark.parametrize(
    ("cores", "usable", "running", "free"),
    [(2, 2, 1, 2), (2, 2, 2, 1), (2, 2, 9, 1), (64, 4, 11, 4), (64, 4, 63, 4), (64, 64, 33, 32), (1, 1, 1, 1)],
)
def test_cores_are_free_that_nobody_else_keeps_busy(tmp_path, machine_of, cores, usable, running, free):
    machine_of(cores, usable)
    assert free_cores(proc(tmp_path, running)) == free


@pytest.mark.parametrize("text", [None, "", "procs_running many\n"])
def test_a_system_that_does_not_tell_has_all_cores_free(tmp_path, machine_of, text):
    machine_of(8)
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert free_cores(tmp_path) == 8


def test_one_look_that_sees_more_than_the_others_does_not_count(tmp_path, machine_of, monkeypatch):
    machine_of(4)
    seen = iter([1, 1, 4, 1, 1])
    monkeypatch.setattr(processor_share, "_running", lambda folder: next(seen))
    assert free_cores(proc(tmp_path, 1)) == 4


def test_threads_do_not_spin_for_long_and_are_no_more_than_are_free(machine_of, monkeypatch):
    machine_of(4)
    monkeypatch.setattr(processor_share, "free_cores", lambda: 3)
    there = {}
    assert share_processor(there) == 3 and there == {**WAITING, "OMP_NUM_THREADS": "3"}
    monkeypatch.setattr(processor_share, "free_cores", lambda: 4)
    there = {}
    assert share_processor(there) is None and there == WAITING


def test_a_quota_and_what_slurm_granted_bound_the_threads(machine_of, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(processor_share, "_running", lambda folder: 1)
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "processor_quota", lambda: None)
    assert free_cores() == 16
    monkeypatch.setattr(machine, "processor_quota", lambda: 2.5)
    assert free_cores() == 3
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "2")
    assert free_cores() == 2
    monkeypatch.setenv("SLURM_NTASKS", "2")  # the node's cores are not one task's
    assert free_cores() == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert free_cores() == 1


def test_what_the_user_has_set_stays(machine_of, monkeypatch):
    machine_of(4)
    monkeypatch.setattr(processor_share, "free_cores", lambda: 1)
    there = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "4"}
    assert share_processor(there) is None and there == {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "4"}


def test_it_is_done_before_a_numeric_library_is_loaded():
    code = (
        "import sys, featstore_scripts.main as main\n"
        "main.options.run = lambda group: print([n for n in ('numpy', 'torch', 'lightgbm') if n in sys.modules],"
        " __import__('os').environ['GOMP_SPINCOUNT'])\n"
        "main.cli()"
    )
    there = {name: value for name, value in os.environ.items() if name not in WAITING}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=there, check=True)
    assert found.stdout.split("\n")[0] == "[] 10000"
