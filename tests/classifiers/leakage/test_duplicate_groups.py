import dataclasses
import zipfile

import numpy as np
import pytest
from PIL import Image

from classifiers.leakage.duplicate_groups import find_duplicate_groups
from tests.support.copied_pictures import KINDS, copy_of, jpeg, picture_set, scene, texture
from tests.support.feature_sets import copies, digits, feature_set


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """40 scenes; 16 have a copy, two of each kind, the last of each under another class."""
    scenes = [scene(i) for i in range(40)]
    made = [copy_of(scenes[i], KINDS[i % len(KINDS)], i) for i in range(16)]
    y = np.arange(40) % 2
    classes = np.concatenate([y, np.where(np.arange(16) < 8, y[:16], 1 - y[:16])])
    near = np.concatenate([np.arange(40), np.arange(16)])
    return picture_set(tmp_path_factory.mktemp("planted"), [*scenes, *made], classes, near=near)


def test_copies_of_every_kind_are_named_and_nothing_else(planted):
    found = find_duplicate_groups(planted)
    expected = {(i, 40 + i) for i in range(16)}
    named = set(map(tuple, found.copies.tolist()))
    assert named <= expected and len(named) >= 15
    assert found.confirmed.all() and len(found.cosine) == len(found.kinds) == len(named)
    assert found.pixels.compared > 16 and found.pixels.unread == () and found.suggestion == "auto"
    assert len(np.unique(found.groups)) == 56 - len(named)
    again = find_duplicate_groups(planted)
    assert again.copies.tolist() == found.copies.tolist() and again.groups.tolist() == found.groups.tolist()


def test_copies_under_two_classes_are_conflicts(planted):
    found = find_duplicate_groups(planted)
    conflicts = set(map(tuple, found.conflicts.tolist()))
    assert conflicts == {pair for pair in map(tuple, found.copies.tolist()) if pair[0] >= 8}


def test_small_sets_too(tmp_path):
    scenes = [scene(i) for i in range(60)]
    again = [copy_of(image, "resized") for image in scenes[:25]]
    near = np.concatenate([np.arange(60), np.arange(25)])
    splits = ["train"] * 60 + ["test"] * 25
    features = picture_set(tmp_path, [*scenes, *again], near % 2, near=near, quality=70, splits=splits)
    found = find_duplicate_groups(features)
    assert found.copies.tolist() and set(map(tuple, found.copies.tolist())) == {(i, 60 + i) for i in range(25)}


def test_patches_of_one_material_are_look_alikes_at_most(tmp_path):
    patches = [texture(i) for i in range(40)]
    found = find_duplicate_groups(picture_set(tmp_path, patches, np.arange(40) % 2, near=np.arange(40) // 4))
    assert len(found.copies) == 0 and len(np.unique(found.groups)) == 40 and found.suggestion is None
    assert found.pixels.compared > 0


def test_blank_pictures_cannot_be_told(tmp_path):
    blanks = [jpeg(Image.new("RGB", (40 + i, 30), (200, 200, 200))) for i in range(6)]
    scenes = [scene(i) for i in range(20)]
    near = np.concatenate([np.zeros(6, int), np.arange(20) + 1])
    found = find_duplicate_groups(picture_set(tmp_path, [*blanks, *scenes], np.arange(26) % 2, near=near))
    assert len(found.copies) == 0 and found.pixels.blank >= 15


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1, 1e19, 1e-30])
def test_where_files_are_gone_features_speak_for_what_is_nearly_equal(factor):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 60)).astype(np.float32)
    X[7] = X[3] + 0.01 * rng.normal(size=60)  # saved again
    X[9] = X[5] + 0.5 * rng.normal(size=60)  # a relative
    found = find_duplicate_groups(feature_set(X * np.float32(factor), np.arange(80) % 2))
    assert found.copies.tolist() == [[3, 7]] and not found.confirmed.any()
    assert found.look_alikes.tolist() == [[5, 9]]
    assert found.pixels.compared == 0 and found.pixels.unread == (("is gone", 80),)


def test_a_file_that_changed_or_is_damaged_is_not_compared(planted, tmp_path):
    features = picture_set(tmp_path, [scene(0), scene(0), *(scene(i) for i in range(2, 30))], np.arange(30) % 2)
    (tmp_path / "0005.jpg").write_bytes(b"no picture")
    found = find_duplicate_groups(features)
    assert [reason for reason, _ in found.pixels.unread] == ["the file changed since it was listed"]


def test_pictures_in_an_archive_are_compared(planted, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in planted.ids:
            archive.write(planted.root.decode() + "/" + name, name)
    packed = dataclasses.replace(planted, root=bytes(tmp_path / "all.zip"))
    assert find_duplicate_groups(packed).copies.tolist() == find_duplicate_groups(planted).copies.tolist()


def test_identical_bytes_count_whatever_the_features_say():
    features = digits(100)
    digests = features.digests.copy()
    digests[50] = digests[10]
    digests[60] = digests[10]
    digests[70:72] = 0  # files that nobody could read are not copies of one another
    found = find_duplicate_groups(dataclasses.replace(features, digests=digests))
    assert sorted(map(tuple, found.identical.tolist())) == [(10, 50), (10, 60)]
    assert found.groups[10] == found.groups[50] == found.groups[60] != found.groups[70]
    assert found.groups[70] != found.groups[71] and found.suggestion == "auto"
    differ = [pair for pair in found.identical.tolist() if features.y[pair[0]] != features.y[pair[1]]]
    assert found.conflicts.tolist() == differ


def test_telling_names_are_suggested_as_a_pattern():
    X, y, source = copies(sources=100, each=3, noise=0.9, signal=2.0)
    ids = [f"class{c}/scan{s}_{i}.png" for i, (c, s) in enumerate(zip(y, source, strict=True))]
    found = find_duplicate_groups(feature_set(X, y, ids=ids))
    assert found.by_filename is not None
    groups = {tuple(sorted(np.flatnonzero(found.groups == g))) for g in np.unique(found.groups)}
    by_name = {tuple(np.flatnonzero(source == s)) for s in np.unique(source)}
    assert all(any(set(s) <= set(g) for g in groups) for s in by_name)


def test_look_alikes_never_join_what_names_part():
    X, y, source = copies(sources=100, each=3, noise=0.5, signal=2.0)
    ids = [f"class{c}/scan{s}_{i}.png" for i, (c, s) in enumerate(zip(y, source, strict=True))]
    X[source == 1] = X[source == 0] + 0.4  # two patients who look alike
    found = find_duplicate_groups(feature_set(X, y, ids=ids))
    assert found.by_filename is not None
    assert len(np.unique(found.groups)) == 100


def test_rows_without_a_label_stand_alone(planted):
    y = planted.y.copy()
    y[:4] = -1
    found = find_duplicate_groups(dataclasses.replace(planted, y=y))
    assert found.copies.min() >= 4 and len(found.groups) == 56
    assert all((found.groups == found.groups[row]).sum() == 1 for row in range(4))


@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_few_images(n):
    features = digits(40).subset(np.arange(n))
    found = find_duplicate_groups(features)
    assert len(found.copies) == 0 and len(np.unique(found.groups)) == n and found.effect is None


def test_a_large_set_is_told_its_time_first(planted, monkeypatch):
    monkeypatch.setattr("classifiers.leakage.compared_pairs.LONG", 50)
    monkeypatch.setattr("classifiers.leakage.compared_pairs._TRIAL", 10)
    said = []
    find_duplicate_groups(planted, told=said.append)
    assert said[0].startswith("looking for neighbours among 56 images takes about")
    assert said[1].startswith("reading 56 images to compare their pixels takes about")
    assert "comparing the pixels of" in said[2]
