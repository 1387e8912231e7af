"""PetImages, flower_photos, Caltech-101, Intel scenes, parts inside of categories: as they come out of the archive."""

import os
from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from tests.support.trees import label, parts, put, reasons, rows, write


def test_pet_images_with_their_empty_files_and_thumbs(tmp_path):
    put(tmp_path, *(f"PetImages/{animal}/{i}.jpg" for animal in ("Cat", "Dog") for i in range(3)))
    write(tmp_path, "PetImages/Cat/666.jpg", b"")
    for animal in ("Cat", "Dog"):
        write(tmp_path, f"PetImages/{animal}/Thumbs.db", b"\xd0\xcf\x11\xe0")
    write(tmp_path, "readme[1].txt", "about")
    write(tmp_path, "MSR-LA - 3467.docx", b"PK\x03\x04")
    found = label(tmp_path)
    expected = {
        f"PetImages/{folder}/{name}": (folder, "")
        for folder in ("Cat", "Dog")
        for name in os.listdir(tmp_path / "PetImages" / folder)
        if name.endswith(".jpg")
    }
    assert rows(found) == expected and len(expected) == 7
    assert found.layout == "petimages"
    told = reasons(found)
    assert told["PetImages/Cat/Thumbs.db"] == "a file of the system, not of the data"
    assert told["readme[1].txt"] == "not a supported image: text"
    inner = label(tmp_path / "PetImages")
    assert inner.layout == "petimages" and len(rows(inner)) == 7


def test_flower_photos(tmp_path):
    kinds = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    put(tmp_path, *(f"flower_photos/{kind}/{i}_{kind}.jpg" for kind in kinds for i in range(2)))
    write(tmp_path, "flower_photos/LICENSE.txt", "CC-BY")
    found = label(tmp_path)
    assert rows(found) == {f"flower_photos/{k}/{i}_{k}.jpg": (k, "") for k in kinds for i in range(2)}
    assert found.layout == "flower-photos" and found.labels_from == "5 classes from folder names"


def caltech(root: Path) -> Path:
    home = root / "101_ObjectCategories"
    for name, n in (("BACKGROUND_Google", 4), ("Faces", 3), ("accordion", 2), ("yin_yang", 2)):
        put(home, *(f"{name}/image_{i:04}.jpg" for i in range(1, n + 1)))
    write(home, "BACKGROUND_Google/tmp", b"\0\1\2")
    write(root, "Annotations/accordion/annotation_0001.mat", b"MATLAB 5.0")
    return root


def test_caltech_is_torchvisions(tmp_path):
    import torchvision.datasets as datasets

    caltech(tmp_path / "caltech101")
    known = datasets.Caltech101(tmp_path)
    expected = {
        f"101_ObjectCategories/{known.categories[n]}/image_{i:04}.jpg": (known.categories[n], "")
        for n, i in zip(known.y, known.index, strict=True)
    }
    for place in (tmp_path / "caltech101", tmp_path):
        found = label(place)
        assert {path.removeprefix("caltech101/"): row for path, row in rows(found).items()} == expected
    assert [note for note in found.notes if note.startswith("BACKGROUND_Google, 4 images of clutter, is doubtful")]
    everything = label(tmp_path, layout="class-folders")
    assert len(rows(everything)) == 11


SCENES = ("buildings", "forest", "sea")


@pytest.mark.parametrize("wrapper", ["", "archive/"])
def test_intel_scenes(tmp_path, wrapper):
    put(
        tmp_path,
        *(
            f"{wrapper}seg_{part}/seg_{part}/{s}/{i}.jpg"
            for part in ("train", "test")
            for s in SCENES
            for i in range(2)
        ),
        *(f"{wrapper}seg_pred/seg_pred/{i}.jpg" for i in range(3)),
    )
    expected = {
        f"{wrapper}seg_{part}/seg_{part}/{scene}/{i}.jpg": (scene, part)
        for part in ("train", "test")
        for scene in SCENES
        for i in range(2)
    }
    found = label(tmp_path)
    assert rows(found) == expected and found.layout == "intel-scenes"
    assert found.parts_from == "train and test from the folders seg_train and seg_test"
    assert "3 images in seg_pred left out, for no class folders lie in it; `unlabelled=True` takes" in found.notes[-1]
    bare = {f"{wrapper}seg_pred/seg_pred/{i}.jpg": (None, "") for i in range(3)}
    assert rows(label(tmp_path, unlabelled=True)) == expected | bare


def mvtec(root: Path, *categories: str) -> Path:
    for category in categories:
        put(root, *(f"{category}train/good/{i:03}.png" for i in range(3)))
        put(root, *(f"{category}test/{kind}/{i:03}.png" for kind in ("good", "broken") for i in range(2)))
        put(root, *(f"{category}ground_truth/broken/{i:03}_mask.png" for i in range(2)))
    return root


def test_one_category_of_mvtec(tmp_path):
    found = label(mvtec(tmp_path, ""))
    assert found.layout == "mvtec" and parts(found) == {"train": 3, "test": 4}
    assert {name for name, _ in rows(found).values()} == {"good", "broken"}
    assert reasons(found)["ground_truth/broken/000_mask.png"] == "holds masks or annotations by its name, no class"


@pytest.mark.parametrize(
    ("choice", "classes"),
    [
        ("top", {"bottle", "cable"}),
        ("leaf", {"good", "broken"}),
        ("path", {"bottle/good", "bottle/broken", "cable/good", "cable/broken"}),
    ],
)
def test_several_categories_of_mvtec(tmp_path, choice, classes):
    mvtec(tmp_path, "bottle/", "cable/")
    with pytest.raises(ImageSetError, match='two readings.*`class_from="top"`.*`class_from="leaf"`'):
        label(tmp_path)
    found = label(tmp_path, class_from=choice)
    assert {name for name, _ in rows(found).values()} == classes
    assert parts(found) == {"train": 6, "test": 8}
    assert found.parts_from == "train and test from the folders inside of the class folders"
