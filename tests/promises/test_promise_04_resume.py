"""Promise 4: a resumed run ends with the bits of an uninterrupted one, whatever the kills and the number of workers."""

import random
import time

import numpy as np
import pytest

from featstore import FeatureStore
from tests.support.killing import agree, committed, kill_after, run, start, store_digest
from tests.support.pictures import write_tree
from tests.support.ready_network import KEY


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = write_tree(tmp_path_factory.mktemp("data") / "set", each=6)
    (folder / "ants" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


def killed_and_resumed(place, pictures, kills, seed, workers):
    """Runs that are killed at random times, all in one store, again and again from nothing once it is complete."""
    assert run("extraction", pictures, place / "reference") == 0
    began = time.monotonic()
    assert run("extraction", pictures, place / "timed") == 0
    longest = time.monotonic() - began
    reference, final = committed(place / "reference", KEY), store_digest(place / "reference")
    rng, cut, stores = random.Random(seed), 0, 0
    while cut < kills:
        path = place / f"s{stores}"
        stores += 1
        while cut < kills:
            number = rng.choice(workers)
            slow = {"pause": 0.01} if number == 0 else {"workers": number}
            process = start("extraction", pictures, path, **slow)
            early = kill_after(process, rng.uniform(0.3, 1.2) * longest * (1 if number == 0 else 3))
            agree(committed(path, KEY), reference)
            if not early:
                assert process.exitcode == 0
                break
            cut += 1
        assert run("extraction", pictures, path) == 0
        assert store_digest(path) == final
        assert FeatureStore(path).verify().ok
    return stores


def test_random_kills_with_resume_end_in_the_same_store(quick_path, pictures):
    killed_and_resumed(quick_path, pictures, kills=8, seed=1, workers=[0, 0, 0, 1])


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_two_hundred_random_kills_with_resume(quick_path, pictures, capsys):
    stores = killed_and_resumed(quick_path, pictures, kills=200, seed=2, workers=[0, 0, 0, 1, 4])
    with capsys.disabled():
        print(f"\n200 kills over {stores} stores, one digest")


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_changes_no_bit(quick_path, pictures, workers):
    assert run("extraction", pictures, quick_path / "a") == 0
    assert run("extraction", pictures, quick_path / "b", workers=workers) == 0
    assert store_digest(quick_path / "a") == store_digest(quick_path / "b")
    one, other = (FeatureStore(quick_path / name).read() for name in "ab")
    np.testing.assert_array_equal(one.X, other.X)
    assert one.failed == other.failed and len(one.failed) == 1 and len(one.X) == 12
