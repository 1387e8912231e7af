"""Flowers-102 as torchvision reads the same tree; Stanford Dogs."""

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io as scipy_io

from featstore.errors import ImageSetError
from featstore.images.listing import Listing
from tests.support.trees import label, put, reasons, rows, write


def mat(**variables: object) -> bytes:
    out = io.BytesIO()
    scipy_io.savemat(out, variables)
    return out.getvalue()


def flowers(root: Path, n: int = 36) -> Path:
    put(root, *(f"jpg/image_{i:05}.jpg" for i in range(1, n + 1)))
    order = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    labels = np.random.default_rng(1).permutation(np.arange(n) % 12 + 1)
    write(root, "imagelabels.mat", mat(labels=labels.astype(np.uint8)))
    write(root, "setid.mat", mat(trnid=order[:12], valid=order[12:24], tstid=order[24:]))
    return root


def test_flowers_are_torchvisions(tmp_path, monkeypatch):
    import torchvision.datasets as datasets

    base = flowers(tmp_path / "flowers-102")
    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: True)
    found = label(base)
    listing = Listing.of(found.found, found.skipped, b"")
    ours = {path.decode(): (int(n), str(s)) for path, n, s in zip(*_columns(listing), strict=True)}
    expected = {}
    for part in ("train", "val", "test"):
        known = datasets.Flowers102(tmp_path, split=part)
        for path, number in zip(known._image_files, known._labels, strict=True):
            expected[str(path.relative_to(base))] = (number, part)
    assert ours == expected and len(ours) == 36
    assert found.labels_from == "12 classes from imagelabels.mat"
    assert found.parts_from == "train, val and test from setid.mat"


def _columns(listing: Listing) -> tuple:
    return listing.paths, listing.labels, listing.splits


def test_flowers_in_a_wrapper_beside_segmentations(tmp_path):
    flowers(tmp_path / "flowers")
    put(tmp_path, "flowers/segmim/segmim_00001.jpg")
    found = label(tmp_path)
    assert len(rows(found)) == 36 and reasons(found)["flowers/segmim/segmim_00001.jpg"] == "on no list of the data set"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("setid.mat", b"not MATLAB", "setid.mat cannot be read as a MATLAB file: .*; unpack it again"),
        ("setid.mat", mat(trnid=[1], valid=[2]), "setid.mat has no variable 'tstid'; expected trnid, valid, tstid"),
        ("setid.mat", mat(trnid=[1], valid=[2], tstid=[99]), "names image 99, but imagelabels.mat has 36 labels"),
        ("imagelabels.mat", mat(labels="abc"), "holds no plain numbers"),
        ("imagelabels.mat", mat(other=[1]), "imagelabels.mat has no variable 'labels'"),
    ],
)
def test_damaged_lists_of_flowers_are_one_sentence(tmp_path, name, content, message):
    flowers(tmp_path)
    write(tmp_path, name, content)
    with pytest.raises(ImageSetError, match=message):
        label(tmp_path)


def dogs(root: Path) -> dict[str, tuple[str, str]]:
    """The tree, and what is expected of it."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    expected = {}
    for folder in ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02107683-Bernese_mountain_dog"):
        for i in range(4):
            path = f"{folder}/{folder[:9]}_{i}.jpg"
            put(root, f"Images/{path}")
            write(root, f"Annotation/{path[:-4]}", "<annotation/>")
            part = "train" if i < 3 else "test"
            lists[part].append(path)
            expected[f"Images/{path}"] = (folder.partition("-")[2], part)
    for part, paths in lists.items():
        cells = np.empty((len(paths), 1), dtype=object)
        cells[:, 0] = paths
        write(root, f"{part}_list.mat", mat(file_list=cells, labels=np.ones((len(paths), 1))))
    return expected


def test_stanford_dogs_as_their_lists_say(tmp_path):
    expected = dogs(tmp_path)
    found = label(tmp_path)
    assert rows(found) == expected
    assert found.labels_from == "3 classes from the folders in Images"
    assert found.parts_from == "train and test from train_list.mat and test_list.mat"


def test_stanford_dogs_with_lists_elsewhere_or_without(tmp_path):
    expected = dogs(tmp_path / "dogs")
    (tmp_path / "dogs" / "lists").mkdir()
    for name in ("train_list.mat", "test_list.mat"):
        (tmp_path / "dogs" / name).rename(tmp_path / "dogs" / "lists" / name)
    assert rows(label(tmp_path)) == {f"dogs/{path}": row for path, row in expected.items()}
    (tmp_path / "dogs" / "lists" / "test_list.mat").unlink()
    found = label(tmp_path)
    assert rows(found) == {f"dogs/{path}": (name, "") for path, (name, _) in expected.items()}
    assert found.notes == ["train_list.mat and test_list.mat are not there: no image is in a part"]


def test_breeds_of_one_name_keep_their_numbers(tmp_path):
    put(tmp_path, "Images/n00000001-corgi/1.jpg", "Images/n00000002-corgi/1.jpg")
    assert {name for name, _ in rows(label(tmp_path)).values()} == {"n00000001-corgi", "n00000002-corgi"}
