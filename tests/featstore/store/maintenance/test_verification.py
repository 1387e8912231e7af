import pytest

from featstore import FeatureStore
from featstore.errors import StoreFormatError, StoreNotFoundError
from featstore.store.format.rows import PASSING
from featstore.store.maintenance.verification import verify
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows, tree

KEY = fingerprint().key


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("ab", dim=2), PROVENANCE)
    store.commit(fingerprint(), rows("cd", dim=2, failed="d"), PROVENANCE)
    return store


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_sound_store_is_counted(store):
    found = verify(store.path)
    assert found.ok and (found.datasets, found.feature_sets, found.rows, found.failed) == (1, 1, 3, 1)
    files = {name: data for name, (data, _) in tree(store.path).items()}
    assert found.files == len(files) == 7 and found.bytes == sum(map(len, files.values()))
    assert (found.unnamed, found.leftovers) == (0, 0)


def test_every_file_and_every_part_of_it_is_checked(store):
    for name in tree(store.path):
        path = store.path / name
        good = path.read_bytes()
        for offset in {0, 40, len(good) // 3, len(good) // 2, len(good) - 1}:
            flip(path, offset)
            problems = verify(store.path).problems
            assert [p.path for p in problems] == [name], (name, offset)
            assert problems[0].what and "featstore repair" not in problems[0].what
            path.write_bytes(good)
    assert verify(store.path).ok


def test_a_fast_check_looks_at_everything_but_the_bytes_of_shards(store):
    (shard, other) = sorted((store.path / "features" / KEY / "shards").iterdir())
    flip(shard, -5)
    assert verify(store.path, full=False).ok and not verify(store.path).ok
    shard.write_bytes(shard.read_bytes()[:-1])
    other.unlink()
    what = {p.path.rsplit("/")[-1]: p.what for p in verify(store.path, full=False).problems}
    assert "bytes, expected" in what[shard.name] and what[other.name] == "is missing"


def test_what_killed_writers_left_is_counted_and_is_no_problem(store):
    from featstore.store.format.shard import encode

    data, entry = encode(rows("xy", dim=2), fingerprint(), PROVENANCE)
    (store.path / "features" / KEY / "shards" / entry.file_name).write_bytes(data)
    (store.path / "tmp" / "x.part").write_bytes(b"half")
    found = verify(store.path)
    assert found.ok and (found.unnamed, found.leftovers) == (1, 1)


def test_an_unnamed_shard_that_is_damaged_is_a_problem(store):
    (store.path / "features" / KEY / "shards" / ("0" * 64 + ".h5")).write_bytes(b"x")
    (problem,) = verify(store.path).problems
    assert "do not have the hash" in problem.what


def test_a_shard_of_another_feature_set_is_a_problem(store):
    from featstore.store.format.shard import encode

    data, entry = encode(rows("xy", dim=2), fingerprint(node="layer3"), PROVENANCE)
    (store.path / "features" / KEY / "shards" / entry.file_name).write_bytes(data)
    (problem,) = verify(store.path).problems
    assert problem.what == f"it belongs to feature set {fingerprint(node='layer3').key}"


def test_a_manifest_that_contradicts_its_shards_is_a_problem(store):
    import dataclasses

    snapshot = store.table(KEY).snapshot()
    forged = dataclasses.replace(snapshot.manifest, number=3, rows=99)
    store.table(KEY).put_manifest(forged)
    assert "counts 99 rows and 1 failures; there are 3 and 1" in verify(store.path).problems[0].what
    entry = dataclasses.replace(snapshot.manifest.shards[0], provenance={"forged": True})
    store.table(KEY).put_manifest(
        dataclasses.replace(snapshot.manifest, number=4, shards=(entry, *snapshot.manifest.shards[1:]))
    )
    assert verify(store.path).problems[0].what == "it is not as its manifest says"


def test_a_lost_fingerprint_or_identity_is_a_problem(store):
    (store.path / "features" / KEY / "fingerprint.json").unlink()
    (store.path / "store.json").unlink()
    assert [p.path for p in verify(store.path).problems] == [f"features/{KEY}/fingerprint.json", "store.json"]


def test_rows_that_were_replaced_are_counted_once(store):
    store.commit(fingerprint(), rows("e", dim=2, failed="e", status=PASSING), PROVENANCE)
    store.commit(fingerprint(), rows("e", dim=2), PROVENANCE)
    assert (verify(store.path).rows, verify(store.path).failed, verify(store.path).ok) == (4, 1, True)


def test_progress_counts_bytes_up_to_all_of_them(store):
    seen = []
    verify(store.path, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) == 2 and seen[-1][0] == seen[-1][1] > seen[0][0]


def test_no_store_is_an_error_not_a_finding(tmp_path):
    with pytest.raises(StoreNotFoundError):
        verify(tmp_path / "none")
    with pytest.raises(StoreFormatError):
        verify(tmp_path)
