"""Promise 3: a full disk or an I/O error is one clear sentence, a readable store, and a run that completes later."""

import errno
import os
import re
import subprocess

import pytest

from featstore import FeatureStore
from featstore.errors import StoreWriteError
from featstore.system import fsio
from tests.support import deeds
from tests.support.faulty_os import FaultyOs, failing, full_from, short
from tests.support.killing import agree, committed, run, store_digest
from tests.support.pictures import write_tree
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

KEY = fingerprint().key
SENTENCE = re.compile(
    r"Error: \S+ could not be written: the disk is full; make room and run the same command again\. "
    r"What was committed before is untouched\n"
)
FAULTS = {
    "full for good": full_from,
    "full once": lambda number: failing(number, errno.ENOSPC),
    "I/O error": lambda number: failing(number, errno.EIO),
    "short write": short,
}


def life(path):
    """What is done to a store here: made, an image set, a commit that repeats one row and fails one, compaction."""
    store = FeatureStore(path, create=True)
    store.put_imageset(images("abc"))
    store.commit(fingerprint(), rows("ab", failed="b"), PROVENANCE)
    store.commit(fingerprint(), rows("bc", failed="b"), PROVENANCE)
    store.compact()


def endured(path, monkeypatch, rule):
    """Live under a rule; whether it went through to the end, and how many calls there were."""
    disk = FaultyOs(rule)
    with monkeypatch.context() as patch:
        patch.setattr(fsio, "os", disk)
        try:
            life(path)
        except StoreWriteError as error:
            text = str(error)
            assert "could not be written: " in text and "run the same command again" in text and "\n" not in text
            return False, disk.count
    return True, disk.count


def sweep(place, monkeypatch, faults, step=1):
    """Every fault at every `step`th call, until a life is clean; the numbers of faults met and of sentences."""
    life(place / "reference")
    reference, final = committed(place / "reference", KEY), store_digest(place / "reference")
    met = refused = 0
    for first, (name, fault) in enumerate(faults.items()):
        number = 1 + first % step
        while True:
            path = place / f"{name} {number}"
            clean, count = endured(path, monkeypatch, fault(number))
            agree(committed(path, KEY), reference)
            if count < number:
                assert clean
                break
            met, refused = met + 1, refused + (not clean)
            life(path)
            assert store_digest(path) == final and FeatureStore(path).verify().ok, (name, number)
            assert name != "short write" or clean
            number += step
    return met, refused


def test_every_fault_at_calls_through_a_stores_life(quick_path, monkeypatch):
    met, refused = sweep(quick_path, monkeypatch, FAULTS, step=6)
    assert met > 50 and refused > 25


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_fault_at_every_call_of_a_stores_life(quick_path, monkeypatch, capsys):
    met, refused = sweep(quick_path, monkeypatch, FAULTS)
    with capsys.disabled():
        print(f"\n{met} faults, {refused} refusals")
    assert met > 300


def test_a_failed_write_leaves_nothing_behind(quick_path, monkeypatch):
    life(quick_path / "s")
    before = sorted(p for p in (quick_path / "s").rglob("*"))
    for number in range(1, 40):
        disk = FaultyOs(full_from(number))
        with monkeypatch.context() as patch:
            patch.setattr(fsio, "os", disk)
            try:
                FeatureStore(quick_path / "s").commit(fingerprint(node="layer3"), rows("a"), PROVENANCE)
            except StoreWriteError:
                pass
            else:
                break
        assert not list((quick_path / "s" / "tmp").iterdir())
    assert number > 10 and len(before) < len(sorted((quick_path / "s").rglob("*")))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "set", each=6)


def extract(pictures, store, said, full_at=None):
    arguments = ["extract", str(pictures), "--store", str(store), "--workers", "0"]
    return run("command", arguments, said, full_at=full_at)


def commands(place, pictures, numbers):
    """The command on a disk that is full from each of these calls on; how many it took until one was clean."""
    assert extract(pictures, place / "reference", place / "said") == 0
    final = store_digest(place / "reference")
    for refused, number in enumerate(numbers):
        path, said = place / str(number), place / "said"
        if extract(pictures, path, said, full_at=number) == 0:
            return refused
        assert SENTENCE.fullmatch(said.read_text()[said.read_text().find("Error: ") :]), said.read_text()
        assert extract(pictures, path, said) == 0
        assert store_digest(path) == final
    raise AssertionError("no run was clean")


def test_the_command_says_one_sentence_ends_with_status_1_and_completes_when_there_is_room(quick_path, pictures):
    assert commands(quick_path, pictures, range(2, 1000, 13)) >= 6


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_command_on_a_disk_that_is_full_from_every_call_on(quick_path, pictures, capsys):
    refused = commands(quick_path, pictures, range(1, 1000))
    with capsys.disabled():
        print(f"\n{refused} refusals")
    assert refused > 70


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 128 KiB, and how to enlarge it."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "featstore-test", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs the program mount")
    if done.returncode:
        pytest.skip(f"needs the right to mount a small file system: {done.stderr.strip()}")
    try:
        yield place, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_disk_that_is_really_full(small_disk, tmp_path, pictures):
    place, enlarge = small_disk
    assert extract(pictures, tmp_path / "reference", tmp_path / "said") == 0
    (place / "filler").write_bytes(os.urandom(64 << 10))
    assert extract(pictures, place / "s", tmp_path / "said") == 1
    said = (tmp_path / "said").read_text()  # what was found stands before it
    assert SENTENCE.fullmatch(said[said.find("Error: ") :]), said
    reference = committed(tmp_path / "reference", extracted_key())
    agree(committed(place / "s", extracted_key()), reference)
    (place / "filler").unlink()
    enlarge()
    assert extract(pictures, place / "s", tmp_path / "said") == 0
    assert store_digest(place / "s") == store_digest(tmp_path / "reference")


def extracted_key():
    from tests.support.ready_network import KEY

    return KEY


def test_the_deeds_of_these_tests_make_three_shards(quick_path, pictures):
    """What the other tests kill is worth killing."""
    assert extract(pictures, quick_path / "s", quick_path / "said") == 0
    assert len(FeatureStore(quick_path / "s").table(extracted_key()).snapshot().manifest.shards) == 3
    assert deeds.ROWS_A_SHARD == 4
