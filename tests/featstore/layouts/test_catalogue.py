"""Which layouts there are, that each says what it is, and is found in wrapper folders and archives."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from featstore.images.archive_tree import archive_tree
from featstore.images.reading import Reading
from featstore.layouts.catalogue import LAYOUTS
from featstore.layouts.labelling import label_tree
from tests.featstore.layouts.test_matlab_lists import dogs, flowers
from tests.featstore.layouts.test_named_folders import caltech, mvtec
from tests.featstore.layouts.test_pets import pets
from tests.featstore.layouts.test_synsets import tiny
from tests.featstore.layouts.test_text_lists import cub, dtd, food
from tests.support.trees import label, put, rows, write


def test_every_layout_that_is_promised_is_there():
    assert set(LAYOUTS) >= {
        "class-folders", "part-folders", "oxford-pets", "dogs-vs-cats", "petimages", "flower-photos", "flowers-102",
        "cub-200", "stanford-dogs", "caltech-101", "dtd", "food-101", "tiny-imagenet", "imagenet", "intel-scenes",
        "mvtec", "hub-folder",
    }  # fmt: skip


def test_every_layout_says_what_it_looks_like_and_where_labels_come_from():
    for name, layout in LAYOUTS.items():
        assert layout.name == name and layout.looks and layout.labels
        assert isinstance(layout.columns, tuple)
    assert LAYOUTS["oxford-pets"].columns == ("breed", "species")


def test_general_layouts_come_last():
    assert list(LAYOUTS)[-2:] == ["part-folders", "class-folders"]


def _hub(root: Path) -> Path:
    put(root, "train/1.jpg", "train/2.jpg", "test/1.jpg")
    write(root, "train/metadata.csv", "file_name,label\n1.jpg,cat\n2.jpg,dog\n")
    write(root, "test/metadata.csv", "file_name,label\n1.jpg,cat\n")
    return root


def _kaggle(root: Path) -> Path:
    return put(root, "train/cat.0.jpg", "train/dog.0.jpg", "test1/1.jpg")


def _nested(root: Path) -> Path:
    return put(root, "training_set/training_set/cats/1.jpg", "training_set/training_set/dogs/1.jpg", "dev/cats/2.jpg")


def _dogs(root: Path) -> Path:
    dogs(root)
    return root


@pytest.mark.parametrize("archive", [None, "zip", "tar", "tar.gz"])
@pytest.mark.parametrize("wrapper", ["", "data", "archive/set"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (pets, "oxford-pets"),
        (cub, "cub-200"),
        (dtd, "dtd"),
        (food, "food-101"),
        (flowers, "flowers-102"),
        (_dogs, "stanford-dogs"),
        (tiny, "tiny-imagenet"),
        (caltech, "caltech-101"),
        (lambda root: mvtec(root, ""), "mvtec"),
        (_kaggle, "dogs-vs-cats"),
        (_hub, "hub-folder"),
        (_nested, "part-folders"),
    ],
)
def test_every_layout_is_found_in_wrapper_folders_and_in_archives(tmp_path, make, name, wrapper, archive):
    plain = label(make(tmp_path / "plain"))
    assert plain.layout == name
    make(tmp_path / "x" / wrapper)
    if archive is None:
        found = label(tmp_path / "x")
    else:
        packed = pack(tmp_path / "x", tmp_path / f"packed.{archive}")
        found = label_tree(archive_tree(os.fsencode(packed)), Reading())
    prefix = f"{wrapper}/" if wrapper else ""
    assert rows(found) == {prefix + path: row for path, row in rows(plain).items()}
    assert found.layout == name


def pack(folder: Path, path: Path) -> Path:
    """A folder as an archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for one in sorted(folder.rglob("*")):
                archive.write(one, one.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            for one in sorted(folder.iterdir()):
                archive.add(one, one.name)
    return path
