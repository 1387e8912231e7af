"""Promise 1: committed rows survive `kill -9` at any instruction, and work goes on from there."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.killing import agree, can_strace, committed, run, store_digest, strace_kill, strace_names
from tests.support.pictures import write_tree
from tests.support.store_inputs import digests, fingerprint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

KEY = fingerprint().key
CHANGING = ("link", "fsync", "mkdir", "unlink")
"""What an extraction changes the disk with, beside writes; each is counted for itself, and for each thread."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "set", each=6)


def extracted_key():
    from tests.support.ready_network import KEY

    return KEY


def test_killed_at_changes_of_the_disk_no_committed_row_is_lost_or_altered(quick_path):
    assert recorder_sweep(quick_path, 3) >= 25


@pytest.mark.soak
def test_killed_at_every_change_of_the_disk_no_committed_row_is_lost_or_altered(quick_path, capsys):
    kills = recorder_sweep(quick_path, 1)
    with capsys.disabled():
        print(f"\n{kills} kills")
    assert kills >= 70


def recorder_sweep(quick_path, step):
    """Kill at every `step`th call of `fsio`, look, go on; how many kills there were."""
    assert run("three_shards", quick_path / "reference") == 0
    reference, final = committed(quick_path / "reference", KEY), store_digest(quick_path / "reference")
    assert len(reference) == 12
    killed = quick_path / "killed"
    killed.mkdir()
    assert run("killed_everywhere", "three_shards", killed, step) == 0
    stores = [path for path in killed.iterdir() if path.is_dir()]
    held = []
    for path in stores:
        found = committed(path, KEY)
        agree(found, reference)
        done = Path(f"{path}.done")
        promised = digests(done.read_text() if done.exists() else "")
        assert {d.tobytes() for d in promised} <= found.keys(), path.name
        held.append(len(found))
    assert {0, 4, 8, 12} == set(held)
    assert run("again", "three_shards", killed) == 0
    assert {store_digest(path) for path in stores} == {final}
    return len(stores) - 2  # the first one and the last one lived


@pytest.mark.skipif(bool(can_strace()), reason=can_strace() or "-")
def test_a_real_extraction_killed_at_system_calls_resumes_to_the_same_store(quick_path, pictures):
    kills = sum(strace_sweep(quick_path / call, pictures, call, 8) for call in CHANGING)
    assert kills >= 5


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(bool(can_strace()), reason=can_strace() or "-")
def test_a_real_extraction_killed_at_every_system_call(quick_path, pictures, capsys):
    names = strace_names("extraction", pictures, quick_path / "names")
    assert set(CHANGING) <= names.keys()
    kills = {call: strace_sweep(quick_path / call, pictures, call, 1) for call in names}
    with capsys.disabled():
        print(f"\n{sum(kills.values())} kills: {kills}")


def strace_sweep(place, pictures, call, step):
    """Kill at every `step`th of these calls until a run is clean; how many kills there were."""
    place.mkdir()
    assert run("extraction", pictures, place / "reference") == 0
    key = extracted_key()
    reference, final = committed(place / "reference", key), store_digest(place / "reference")
    assert len(reference) == 12
    for kills, number in enumerate(range(1, 65536, step)):
        path = place / str(number)
        ended = strace_kill(number, call, "extraction", pictures, path)
        agree(committed(path, key), reference)
        assert run("extraction", pictures, path) == 0
        assert store_digest(path) == final
        if ended == 0:
            return kills
        assert ended == -9
        shutil.rmtree(path)
    raise AssertionError("no run was clean")
