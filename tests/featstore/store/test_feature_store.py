import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.errors import (
    AmbiguousFeaturesError,
    FingerprintMismatchError,
    StoreDamagedError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    StoreWriteError,
    UnknownNameError,
)
from featstore.store.format.rows import PASSING
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows, tree


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path / "store", create=True)
    store.put_imageset(images("abcd", splits=["train", "train", "val", "val"]))
    store.commit(fingerprint(), rows("abcd"), PROVENANCE)
    return store


def test_read_joins_images_and_features_in_the_order_of_the_images(store):
    data = store.read("pets")
    np.testing.assert_array_equal(data.X, features("abcd"))
    assert data.X.dtype == np.float32 and data.y.tolist() == [0, 1, 0, 1] and data.classes == ("a", "b")
    assert data.ids == ("a/a.jpg", "b/b.jpg", "a/c.jpg", "b/d.jpg") and data.paths[0] == b"a/a.jpg"
    assert data.splits.tolist() == ["train", "train", "val", "val"] and data.root == b"/data/pets"
    assert data.fingerprint == fingerprint() and data.fingerprint.weights == "IMAGENET1K_V1" and data.failed == ()
    np.testing.assert_array_equal(data.digests, digests("abcd"))


def test_order_names_labels_and_duplicates_belong_to_the_image_set_not_to_the_features(store, tmp_path):
    store.put_imageset(images("dabda", labels=np.array([1, 1, 0, 0, 1]), root=b"/elsewhere"))
    before = tree(tmp_path / "store")
    assert not store.missing(fingerprint(), digests("dabda")).any()
    data = FeatureStore(store.path).read()
    np.testing.assert_array_equal(data.X, features("dabda"))
    assert data.y.tolist() == [1, 1, 0, 0, 1] and data.root == b"/elsewhere"
    assert tree(tmp_path / "store") == before


def test_several_data_sets_share_rows(store):
    store.put_imageset(images("cx", name="more"))
    assert store.datasets() == ["more", "pets"]
    assert store.missing(fingerprint(), digests("cx")).tolist() == [False, True]
    store.commit(fingerprint(), rows("x"), PROVENANCE)
    np.testing.assert_array_equal(store.read("more").X, features("cx"))
    with pytest.raises(
        AmbiguousFeaturesError, match="holds 2 data sets, expected one; choose with `dataset`: more, pets"
    ):
        store.read()
    with pytest.raises(UnknownNameError, match="unknown data set 'pest'; close matches: pets"):
        store.read("pest")


def test_failed_images_have_no_row_but_a_reason_and_shift_nothing(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcde", problems="b"))
    store.commit(fingerprint(), rows("acde", failed="d"), PROVENANCE)
    data = store.read()
    np.testing.assert_array_equal(data.X, features("ace"))
    assert data.ids == ("a/a.jpg", "a/c.jpg", "a/e.jpg") and data.y.tolist() == [0, 0, 0]
    assert data.failed == (("b/b.jpg", "permission denied"), ("b/d.jpg", "d cannot be decoded"))
    assert store.failures(fingerprint()) == {digests("d")[0].tobytes(): "d cannot be decoded"}


def test_images_without_a_row_are_an_error_that_says_what_to_run(store):
    store.put_imageset(images("abxy"))
    with pytest.raises(
        StoreNotFoundError,
        match="2 of 4 images of data set 'pets' have no features of `backbone=.resnet18.` .* yet, first a/x.jpg",
    ):
        store.read()


def test_partial_reading_leaves_them_out_and_lists_them(store):
    store.put_imageset(images("abx"))
    data = store.read(partial=True)
    np.testing.assert_array_equal(data.X, features("ab"))
    assert data.failed == (("a/x.jpg", "its features are not computed yet"),)


def test_missing_knows_failures_and_names_passing_ones_only_when_asked(store):
    store.commit(fingerprint(), rows("ef", failed="e"), PROVENANCE)
    store.commit(fingerprint(), rows("g", failed="g", status=PASSING), PROVENANCE)
    assert store.missing(fingerprint(), digests("aegx")).tolist() == [False, False, False, True]
    assert store.missing(fingerprint(), digests("aegx"), retry=True).tolist() == [False, False, True, True]
    assert store.missing(fingerprint(node="layer3"), digests("ab")).all()


def test_features_tells_what_is_there_without_reading_it(store):
    store.commit(fingerprint(node="layer3"), rows("ab", dim=3, failed="b"), {"engine": "openvino"})
    infos = {info.fingerprint.node: info for info in FeatureStore(store.path).features()}
    assert (infos["avgpool"].dim, infos["avgpool"].rows, infos["avgpool"].failed) == (8, 4, 0)
    assert (infos["layer3"].dim, infos["layer3"].rows, infos["layer3"].failed) == (3, 1, 1)
    assert infos["avgpool"].provenance == (PROVENANCE,) and infos["layer3"].key == fingerprint(node="layer3").key
    shards = store.path / "features" / infos["layer3"].key / "shards"
    assert infos["layer3"].bytes == sum(p.stat().st_size for p in shards.iterdir())


def test_selecting_one_of_several_feature_sets(store):
    store.commit(fingerprint(node="layer3"), rows("abcd", dim=3), PROVENANCE)
    assert store.read(node="layer3").X.shape == (4, 3) and store.select(node="avgpool").dim == 8
    with pytest.raises(AmbiguousFeaturesError, match="choose with `node="):
        store.read()
    with pytest.raises(StoreNotFoundError, match='holds no features with `node="layer4"`'):
        store.read(node="layer4")


def test_of_several_the_one_that_knows_the_data_set_is_meant(store):
    store.put_imageset(images("xy", name="more"))
    store.commit(fingerprint(node="layer3"), rows("xy", dim=3), PROVENANCE)
    assert store.read("more").fingerprint.node == "layer3" and store.read("pets").fingerprint.node == "avgpool"


def test_strict_refuses_a_mixture_of_provenances(store):
    assert len(store.read(strict=True)) == 4
    store.put_imageset(images("abe"))
    store.commit(fingerprint(), rows("e"), {"engine": "openvino"})
    assert len(store.read()) == 3
    with pytest.raises(FingerprintMismatchError, match="computed in several ways"):
        store.read(strict=True)


def test_odd_paths_are_printed_with_escapes(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    paths = (b"a/\xff.jpg", b"a/new\nline.jpg", "a/ü.jpg".encode())
    store.put_imageset(images("abc", paths=paths))
    store.commit(fingerprint(), rows("abc"), PROVENANCE)
    data = store.read()
    assert data.paths == paths and data.ids == ("a/\\xff.jpg", "a/new\\nline.jpg", "a/ü.jpg")


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    assert store.datasets() == [] and store.features() == []
    with pytest.raises(StoreNotFoundError, match="holds no data set yet; run `featstore extract"):
        store.read()
    store.put_imageset(images("ab"))
    with pytest.raises(StoreNotFoundError, match="holds no features yet"):
        store.read()


def test_opening_needs_a_store(tmp_path):
    with pytest.raises(StoreNotFoundError):
        FeatureStore(tmp_path / "none")
    with pytest.raises(StoreFormatError):
        FeatureStore(tmp_path)
    with pytest.raises(StoreFormatError, match="name a new or empty folder"):
        (tmp_path / "x").write_bytes(b"")
        FeatureStore(tmp_path, create=True)


def test_the_path_may_be_text_or_bytes(store):
    for path in (str(store.path), os.fsencode(store.path)):
        assert FeatureStore(path).datasets() == ["pets"]


def test_reading_leaves_no_trace(store):
    before = tree(store.path)
    again = FeatureStore(store.path)
    again.read()
    again.features()
    again.verify()
    again.gc(dry_run=True)
    assert tree(store.path) == before


def test_a_store_can_be_copied_and_moved(store, tmp_path):
    shutil.copytree(store.path, tmp_path / "copy")
    shutil.rmtree(store.path)
    np.testing.assert_array_equal(FeatureStore(tmp_path / "copy").read().X, features("abcd"))


def test_a_store_without_its_empty_folders_works(store):
    for name in ("tmp", "quarantine"):
        (store.path / name).rmdir()
    again = FeatureStore(store.path)
    again.commit(fingerprint(), rows("e"), PROVENANCE)
    again.put_imageset(images("abe"))
    np.testing.assert_array_equal(again.read().X, features("abe"))


def test_damage_is_never_read_as_data(store):
    (path,) = (store.path / "features" / fingerprint().key / "shards").iterdir()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="is damaged"):
        FeatureStore(store.path).read()


def test_an_older_state_is_returned_only_where_it_says_the_same(store):
    store.commit(fingerprint(), rows("e", failed="e", status=PASSING), PROVENANCE)
    store.commit(fingerprint(), rows("e"), PROVENANCE)
    newest = store.path / "features" / fingerprint().key / "manifests" / "00000003.json"
    newest.write_bytes(newest.read_bytes().replace(b'"rows":5', b'"rows":6'))
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))  # all of it is older
    store.put_imageset(images("abe"))
    with pytest.raises(StoreDamagedError, match="manifest 3 .* is damaged, and the one before it lacks features of 1"):
        FeatureStore(store.path).read()


def test_a_lost_fingerprint_is_damage(store):
    (store.path / "features" / fingerprint().key / "fingerprint.json").unlink()
    with pytest.raises(StoreDamagedError, match="fingerprint.json is missing; run `featstore repair"):
        FeatureStore(store.path).features()


def test_folders_that_lead_elsewhere_are_refused(store, tmp_path):
    (store.path / "features").rename(tmp_path / "elsewhere")
    (store.path / "features").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="holds no links"):
        FeatureStore(store.path).features()


def test_a_read_only_store_is_read_and_refuses_writing_in_one_sentence(store):
    """As a user without write permission; root becomes one in a child process that has imported all it needs."""
    program = textwrap.dedent(
        """
        import os, sys
        from featstore import FeatureStore
        from featstore.errors import StoreWriteError
        from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows
        FeatureStore(sys.argv[1]).read(), FeatureStore(sys.argv[1]).verify()
        if os.geteuid() == 0:
            os.setgid(65534), os.setuid(65534)
        store = FeatureStore(sys.argv[1])
        assert store.read().X.shape == (4, 8) and store.verify().ok
        for work in (
            lambda: store.commit(fingerprint(), rows("x"), PROVENANCE),
            lambda: store.put_imageset(images("ax")),
            lambda: store.repair() and FeatureStore(sys.argv[1] + "/new", create=True),
        ):
            try:
                work()
            except StoreWriteError as error:
                assert "no permission to write" in str(error), error
            else:
                raise SystemExit("it was written")
        """
    )
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "store"
        shutil.copytree(store.path, home)
        for path in (Path(place), home, *home.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = tree(home)
        try:
            done = subprocess.run([sys.executable, "-c", program, str(home)], capture_output=True, text=True)
        finally:
            for path in (Path(place), home, *home.rglob("*")):
                path.chmod(0o755)
        assert done.returncode == 0, done.stderr
        assert tree(home) == before


def test_a_full_disk_is_one_sentence_and_the_store_stays_readable(store, monkeypatch):
    import errno

    from featstore.system import fsio

    class Full:
        def __getattr__(self, name):
            return getattr(os, name)

        def write(self, descriptor, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(fsio, "os", Full())
        with pytest.raises(StoreWriteError, match="the disk is full; make room and run the same command again"):
            store.commit(fingerprint(), rows("e"), PROVENANCE)
    assert store.verify().ok and not list((store.path / "tmp").iterdir())
    np.testing.assert_array_equal(FeatureStore(store.path).read().X, features("abcd"))


def test_importing_the_store_loads_neither_torch_nor_h5py():
    program = (
        "import sys, featstore.store.feature_store; "
        "assert not {'torch', 'h5py', 'PIL'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_store_is_read_without_the_hdf5_library(store):
    program = (
        "import sys; sys.modules['h5py'] = None; from featstore import FeatureStore;"
        "assert FeatureStore(sys.argv[1]).read().X.shape == (4, 8)"
    )
    subprocess.run([sys.executable, "-c", program, str(store.path)], check=True)


def test_iter_chooses_as_read_does(store):
    other = fingerprint(node="layer3")
    store.commit(other, rows("abcd", salt="layer3"), PROVENANCE)
    with pytest.raises(AmbiguousFeaturesError, match="2 feature sets"):
        store.iter()
    stream = store.iter("pets", node="layer3")
    np.testing.assert_array_equal(stream.read().X, store.read(node="layer3").X)
    with pytest.raises(UnknownNameError, match="'dogs'"):
        store.iter("dogs")
    store.put_imageset(images("abcde"))
    store.commit(other, rows("e", salt="layer3"), {"engine": "another"})
    with pytest.raises(FingerprintMismatchError, match="computed in several ways"):
        store.iter(node="layer3", strict=True)


HALF = fingerprint(store_dtype="fp16")


def halved(names, dim=8):
    return features(names, dim).astype(np.float16).astype(np.float32)


@pytest.fixture
def rounded(tmp_path):
    """A store with the same images' features in float32 and rounded to float16."""
    store = FeatureStore(tmp_path / "rounded", create=True)
    store.put_imageset(images("abcdef"))
    for names in ("abc", "def"):
        store.commit(fingerprint(), rows(names, failed="e"), PROVENANCE)
        store.commit(HALF, rows(names, failed="e"), PROVENANCE)
    return store


def test_rounded_features_are_another_feature_set_of_the_same_images(rounded):
    with pytest.raises(AmbiguousFeaturesError, match='choose with `store_dtype="fp(32|16)"`; `store_dtype="fp'):
        rounded.read()
    np.testing.assert_array_equal(rounded.read(store_dtype="fp32").X, features("abcdf"))
    half = rounded.read(store_dtype="fp16")
    np.testing.assert_array_equal(half.X, halved("abcdf"))
    assert half.X.dtype == np.float32 and half.fingerprint == HALF and "fp32 rounded to fp16" in repr(half)
    stream = rounded.iter(store_dtype="fp16", rows=2)
    assert stream.stored_dtype == np.float16 and stream.dtype == np.float32 and "rounded" in repr(stream)
    np.testing.assert_array_equal(np.concatenate([X for _, X in stream]), half.X)
    with pytest.raises(
        StoreNotFoundError, match='no features with `store_dtype="fp16"`; it holds .*`store_dtype="fp32"`'
    ):
        other = FeatureStore(rounded.path.parent / "other", create=True)
        other.put_imageset(images("abc"))
        other.commit(fingerprint(), rows("abc"), PROVENANCE)
        other.read(store_dtype="fp16")


def test_rounded_features_take_half_of_the_disk(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    names = [str(i) for i in range(300)]
    for one in (fingerprint(), HALF):
        store.commit(one, rows(names, 1024), PROVENANCE)
    sizes = {info.fingerprint.store_dtype: info.bytes for info in store.features()}
    assert 0.49 < sizes["fp16"] / sizes["fp32"] < 0.53


def test_the_same_rows_again_are_no_conflict_after_rounding(rounded):
    before = tree(rounded.path)
    rounded.commit(HALF, rows("abc"), PROVENANCE)
    assert tree(rounded.path) == before


def test_what_float16_cannot_hold_is_a_failure_that_says_what_to_do(rounded):
    large = rows("gh")
    large.X[1, 2] = -70000
    rounded.commit(HALF, large, PROVENANCE)
    rounded.commit(fingerprint(), large, PROVENANCE)
    (reason,) = [text for text in rounded.failures(HALF).values() if "fp16" in text]
    assert reason == "a feature of 70000 does not fit into fp16, which ends at 65504; compute and store in fp32"
    rounded.put_imageset(images("gh"))
    assert len(rounded.read(store_dtype="fp32")) == 2 and rounded.read(store_dtype="fp32").X.min() == -70000
    assert rounded.read(store_dtype="fp16").ids == ("a/g.jpg",)


def test_rounded_features_are_looked_after_like_any_others(rounded):
    expected = rounded.read(store_dtype="fp16").X
    assert rounded.verify().ok
    assert rounded.compact().after == {fingerprint().key: 1, HALF.key: 1}
    rounded.gc(grace_seconds=-1)
    assert rounded.verify().ok and not rounded.repair().moved
    for lost in ("fingerprint.json", "manifests"):
        place = rounded.path / "features" / HALF.key / lost
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert len(rounded.repair().rebuilt) == 2
    again = FeatureStore(rounded.path)
    assert again.verify().ok
    np.testing.assert_array_equal(again.read(store_dtype="fp16").X, expected)
    for file in ("fingerprint.json", "manifests/00000001.json"):
        assert b'"format":2' in (rounded.path / "features" / HALF.key / file).read_bytes()


def test_a_flipped_bit_of_rounded_features_is_damage(rounded):
    shard = rounded.table(HALF.key).snapshot().manifest.shards[0]
    path = rounded.path / "features" / HALF.key / "shards" / shard.file_name
    data = bytearray(path.read_bytes())
    data[shard.layout["features"].offset + 5] ^= 1
    path.write_bytes(data)
    for read in (rounded.read, lambda **which: list(rounded.iter(**which))):
        with pytest.raises(StoreDamagedError, match="not those that were committed"):
            read(store_dtype="fp16")
