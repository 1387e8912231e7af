"""Tiny ImageNet and ImageNet against an independent reading."""

from pathlib import Path

import pytest

from tests.support.trees import label, put, reasons, rows, write

SYNSETS = {"n01443537": "goldfish, Carassius auratus", "n01629819": "European fire salamander", "n02012849": "crane"}
SHOWN = {number: f"{number} {names.split(',')[0]}" for number, names in SYNSETS.items()}


def tiny(root: Path) -> Path:
    for number in SYNSETS:
        put(root, *(f"train/{number}/images/{number}_{i}.JPEG" for i in range(3)))
        write(root, f"train/{number}/{number}_boxes.txt", f"{number}_0.JPEG\t0\t0\t62\t63\n")
    put(root, *(f"val/images/val_{i}.JPEG" for i in range(6)), *(f"test/images/test_{i}.JPEG" for i in range(4)))
    numbers = [*SYNSETS] * 2
    write(
        root, "val/val_annotations.txt", "".join(f"val_{i}.JPEG\t{n}\t0\t32\t44\t62\n" for i, n in enumerate(numbers))
    )
    write(root, "wnids.txt", "".join(f"{number}\n" for number in reversed(SYNSETS)))
    write(root, "words.txt", "n00001740\tentity\n" + "".join(f"{n}\t{names}\n" for n, names in SYNSETS.items()))
    return root


def read_tiny(root: Path) -> dict[str, tuple[str, str]]:
    found = {str(path.relative_to(root)): (path.parts[-3], "train") for path in root.glob("train/*/images/*.JPEG")}
    for line in (root / "val/val_annotations.txt").read_text().splitlines():
        name, number, *_ = line.split("\t")
        found[f"val/images/{name}"] = (number, "val")
    return found


@pytest.mark.parametrize("wrapper", ["", "tiny-imagenet-200/"])
def test_tiny_imagenet_with_its_annotations(tmp_path, wrapper):
    base = tiny(tmp_path / wrapper)
    expected = {f"{wrapper}{path}": (SHOWN[number], part) for path, (number, part) in read_tiny(base).items()}
    found = label(tmp_path)
    assert rows(found) == expected and len(expected) == 15
    assert found.labels_from == "3 classes from folder names and val/val_annotations.txt, named by words.txt"
    assert found.parts_from == "train and val from folder names"
    told = f"4 images in {wrapper}test/images left out, for no list names their labels; `unlabelled=True` takes them"
    assert found.notes == [f"{told} without labels"]
    assert reasons(found)[f"{wrapper}test/images/test_0.JPEG"] == "no list names its label"


def test_test_images_of_tiny_imagenet_without_labels(tmp_path):
    found = label(tiny(tmp_path), unlabelled=True)
    assert {path: row for path, row in rows(found).items() if path.startswith("test/")} == {
        f"test/images/test_{i}.JPEG": (None, "test") for i in range(4)
    }


def test_tiny_imagenet_without_words_shows_numbers(tmp_path):
    (tiny(tmp_path) / "words.txt").unlink()
    assert {name for name, _ in rows(label(tmp_path)).values()} == set(SYNSETS)


def test_imagenet_as_kaggle_has_it(tmp_path):
    base = "ILSVRC/Data/CLS-LOC"
    put(tmp_path, *(f"{base}/train/{n}/{n}_{i}.JPEG" for n in SYNSETS for i in range(2)))
    put(tmp_path, *(f"{base}/val/ILSVRC2012_val_0000000{i}.JPEG" for i in range(3)), f"{base}/test/1.JPEG")
    write(tmp_path, "LOC_synset_mapping.txt", "".join(f"{n} {names}\n" for n, names in SYNSETS.items()))
    lines = "".join(f"ILSVRC2012_val_0000000{i},{n} 85 1 499 272 \n" for i, n in enumerate(SYNSETS))
    write(tmp_path, "LOC_val_solution.csv", f"ImageId,PredictionString\n{lines}")
    write(tmp_path, "ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000000 1\n")
    expected = {f"{base}/train/{n}/{n}_{i}.JPEG": (SHOWN[n], "train") for n in SYNSETS for i in range(2)}
    expected |= {f"{base}/val/ILSVRC2012_val_0000000{i}.JPEG": (SHOWN[n], "val") for i, n in enumerate(SYNSETS)}
    found = label(tmp_path)
    assert rows(found) == expected and found.layout == "imagenet"


@pytest.mark.parametrize("splits", [[""], ["train/", "val/"]])
def test_synset_folders_with_words_are_torchvisions_with_names(tmp_path, splits):
    import torchvision.datasets as datasets

    put(tmp_path, *(f"{split}{number}/{i}.JPEG" for split in splits for number in SYNSETS for i in range(2)))
    write(tmp_path, "words.txt", "".join(f"{number}\t{names}\n" for number, names in SYNSETS.items()))
    expected = {}
    for split in splits:
        known = datasets.ImageFolder(tmp_path / split)
        for path, n in known.samples:
            expected[str(Path(path).relative_to(tmp_path))] = (SHOWN[known.classes[n]], split.strip("/"))
    assert rows(label(tmp_path)) == expected


def test_synset_folders_alone_are_class_folders(tmp_path):
    put(tmp_path, *(f"{number}/1.JPEG" for number in SYNSETS))
    found = label(tmp_path)
    assert found.layout == "class-folders" and {name for name, _ in rows(found).values()} == set(SYNSETS)
