import csv
import dataclasses
import json

import h5py
import numpy as np
import pytest

from featstore.errors import OutputExistsError
from featstore.features import FeatureSet
from featstore.fingerprint import Fingerprint
from featstore.store.export import export


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return FeatureSet(
        X=rng.normal(size=(5, 3)).astype(np.float32),
        y=np.array([0, 1, 1, 0, 1]),
        ids=("a/1.jpg", "b/line\nbreak.jpg", "b/caf\u00e9.jpg", 'a/"quoted", comma.jpg', "b/5.jpg"),
        classes=("a", "b"),
        splits=np.array(["train", "train", "test", "", "test"]),
        digests=rng.integers(0, 255, size=(5, 32)).astype(np.uint8),
        fingerprint=Fingerprint("resnet18", "0" * 64, "avgpool", "avg", {}, {}, "fp32", "none"),
        dataset="set",
        root=b"/data",
        paths=(b"a",) * 5,
    )


def test_npz_is_read_by_numpy_without_pickles(features, tmp_path):
    export(features, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        assert np.array_equal(archive["X"], features.X)
        assert archive["ids"].tolist() == list(features.ids)
        assert Fingerprint.from_json(json.loads(str(archive["fingerprint"]))).key == features.fingerprint.key


def test_npy_folder_has_one_name_a_row(features, tmp_path):
    written = export(features, tmp_path / "new" / "folder", form="npy")
    assert np.array_equal(np.load(tmp_path / "new/folder/features.npy"), features.X)
    names = (tmp_path / "new/folder/file_names.txt").read_text(encoding="utf-8").splitlines()
    assert len(names) == 5
    assert names[1] == "b/line\\nbreak.jpg"
    assert len(written) == 5


def test_h5_is_read_by_plain_h5py(features, tmp_path):
    export(features, tmp_path / "out.h5", form="h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["features"][:], features.X)
        assert file["labels"][:].tolist() == features.y.tolist()
        assert file["ids"][2].decode() == "b/caf\u00e9.jpg"


def test_csv_gives_back_the_same_float32(features, tmp_path):
    export(features, tmp_path / "out.csv", form="csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["path", "label", "split", "f0", "f1", "f2"]
    assert [line[0] for line in lines] == list(features.ids)
    assert np.array_equal(np.array([line[3:] for line in lines], dtype=np.float32), features.X)


def test_nothing_is_overwritten_without_being_told_to(features, tmp_path):
    export(features, tmp_path / "out.npz")
    with pytest.raises(OutputExistsError, match="exists already"):
        export(features, tmp_path / "out.npz")
    export(features, tmp_path / "out.npz", overwrite=True)


def test_an_image_without_a_label_has_an_empty_cell_in_csv(features, tmp_path):
    export(dataclasses.replace(features, y=np.array([0, 1, -1, 0, 1])), tmp_path / "out.csv", form="csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["a", "b", "", "a", "b"]
