"""Promise 5: readers never block and never see partial data, whatever writers, kills, compact and gc do meanwhile."""

import random

import pytest

from featstore import FeatureStore
from tests.support.deeds import MANY
from tests.support.killing import committed, kill_after, run, start
from tests.support.store_inputs import PROVENANCE, digests, fingerprint, images, rows


def watched(place, seconds, seed):
    """Four readers beside writers that are killed, compaction and garbage collection; how many looks they took."""
    path, rng = place / "s", random.Random(seed)
    assert run("race", path, 0, MANY[:8]) == 0
    readers = [start("look", path, seconds, place / f"report{i}") for i in range(4)]
    tidy = start("tidy", path, seed, seconds)
    while any(reader.is_alive() for reader in readers):
        kill_after(start("race", path, rng.random(), MANY), rng.uniform(0.1, 0.7))
        if rng.random() < 0.3:
            kill_after(tidy, rng.uniform(0, 0.2))
            tidy = start("tidy", path, rng.random(), seconds)
    for reader in readers:
        reader.join()
    tidy.kill()
    tidy.join()
    looks, most_rows = 0, 0
    for number, reader in enumerate(readers):
        count, longest, most, wrong = (place / f"report{number}").read_text().split("\n")
        assert reader.exitcode == 0 and not wrong, wrong
        assert float(longest) < 5
        looks, most_rows = looks + int(count), max(most_rows, int(most))
    assert most_rows > 8  # there was something to see
    assert FeatureStore(path).table(fingerprint().key).snapshot().manifest.number > 8
    assert run("race", path, 0, MANY) == 0
    assert FeatureStore(path).verify().ok
    assert committed(path, fingerprint().key).keys() == {d.tobytes() for d in digests(MANY)}
    return looks


def test_four_readers_in_a_loop_are_never_disturbed(quick_path):
    assert watched(quick_path, 3.0, seed=5) > 40


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(5))
def test_four_readers_for_a_minute(quick_path, seed, capsys):
    looks = watched(quick_path, 60.0, seed)
    with capsys.disabled():
        print(f"\n{looks} looks")


def test_a_reader_keeps_its_snapshot_while_everything_changes(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    for part in ("ab", "cd"):
        store.commit(fingerprint(), rows(part), PROVENANCE)
    table = FeatureStore(tmp_path / "s").table(fingerprint().key)
    snapshot = table.snapshot()
    before = snapshot.content_sha256()
    store.commit(fingerprint(), rows("ef"), PROVENANCE)
    store.compact()
    store.gc(grace_seconds=-1)
    assert table.snapshot().manifest.number > snapshot.manifest.number
    # gc keeps the last two states; the reader's own is gone by now, and a new look finds all of its rows
    with pytest.raises(FileNotFoundError):
        store.commit(fingerprint(), rows("g"), PROVENANCE)
        store.gc(grace_seconds=-1)
        assert snapshot.content_sha256() == before
    assert len(FeatureStore(tmp_path / "s").read().X) == 4


def test_a_stream_goes_on_at_the_state_of_its_beginning_when_its_files_are_gone(quick_path):
    """Passes in every order beside a writer, compaction and gc, then beside a store that has none of its files left."""
    path, place = quick_path / "s", fingerprint().key
    assert run("race", path, 0, MANY[:8]) == 0
    streaming = start("stream", path, quick_path / "streamed", quick_path / "last")
    while not (quick_path / "streamed").exists():  # opened
        streaming.join(0.05)
        assert streaming.is_alive()
    at_first = {entry.file_name for entry in FeatureStore(path).table(place).snapshot().manifest.shards}
    tidy = start("tidy", path, 0, 600)
    assert run("race", path, 1, MANY[8:40]) == 0
    tidy.kill()
    tidy.join()
    store = FeatureStore(path)
    for name in ("later", "and later"):  # gc keeps two states
        store.commit(fingerprint(), rows([name]), PROVENANCE)
        store.compact()
    store.gc(grace_seconds=-1)
    assert not any((path / "features" / place / "shards" / name).exists() for name in at_first)
    (quick_path / "last").touch()
    streaming.join()
    passes, streamed, wrong = (quick_path / "streamed").read_text().split("\n")
    assert streaming.exitcode == 0 and not wrong, wrong
    assert int(passes) > 1 and int(streamed) == 8
