"""Oxford's pets as torchvision reads the same tree; Kaggle's dogs and cats."""

import tarfile
from pathlib import Path

import pytest

from featstore.errors import ImageSetError, UnknownNameError
from tests.support.trees import label, parts, put, reasons, rows, write

BREEDS = [
    ("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("american_pit_bull_terrier", 3, 2), ("Bengal", 4, 1),
    ("British_Shorthair", 5, 1), ("yorkshire_terrier", 6, 2),
]  # fmt: skip


def pets(root: Path, each: int = 4) -> Path:
    """The archive as unzipped: lists of the parts, all images, trimaps, xmls, left-overs of a Mac."""
    lines = {"trainval": [], "test": []}
    for breed, number, species in BREEDS:
        for i in range(1, each + 1):
            put(root, f"images/{breed}_{i}.jpg", f"annotations/trimaps/{breed}_{i}.png")
            put(root, f"annotations/trimaps/._{breed}_{i}.png")
            write(root, f"annotations/xmls/{breed}_{i}.xml", "<annotation/>")
            lines["test" if i % 2 else "trainval"].append(f"{breed}_{i} {number} {species} {i}\n")
    put(root, "images/Abyssinian_100.jpg")  # on no list
    write(root, "images/Abyssinian_100.mat", b"MATLAB 5.0")
    for part, listed in lines.items():
        write(root, f"annotations/{part}.txt", "".join(listed))
    everything = "".join(lines["trainval"] + lines["test"])
    write(root, "annotations/list.txt", f"#Image CLASS-ID SPECIES BREED ID\n#1:Cat 2:Dog\n{everything}")
    write(root, "annotations/README", "about")
    return root


def torchvision_pets(root: Path, split: str, kind: str) -> dict[str, str]:
    from torchvision.datasets import OxfordIIITPet

    known = OxfordIIITPet(root, split=split, target_types=kind)
    names = known.classes if kind == "category" else known.bin_classes
    labels = known._labels if kind == "category" else known._bin_labels
    base = root / "oxford-iiit-pet"
    return {str(path.relative_to(base)): names[n] for path, n in zip(known._images, labels, strict=True)}


@pytest.mark.parametrize(
    ("column", "kind"), [(None, "category"), ("breed", "category"), ("species", "binary-category")]
)
def test_paths_labels_and_parts_are_torchvisions(tmp_path, column, kind):
    pets(tmp_path / "oxford-iiit-pet")
    found = label(tmp_path / "oxford-iiit-pet", label_column=column)
    expected = {
        path: (name, part)
        for part, split in (("train", "trainval"), ("test", "test"))
        for path, name in torchvision_pets(tmp_path, split, kind).items()
    }
    assert rows(found) == expected
    assert found.layout == "oxford-pets"


def test_what_was_found_and_left_out_is_told(tmp_path):
    found = label(pets(tmp_path))
    assert found.labels_from == "6 classes (breed) from annotations/list.txt"
    assert found.parts_from == "train and test from annotations/trainval.txt and annotations/test.txt"
    told = reasons(found)
    assert told["annotations/trimaps/Bengal_1.png"] == "a trimap, no picture"
    assert told["annotations/trimaps/._Bengal_1.png"] == "a file of the system, not of the data"
    assert told["images/Abyssinian_100.jpg"] == "on no list of the pets"
    assert told["annotations/xmls/Bengal_1.xml"].startswith("not a supported image")
    assert "1 image left out: on no list of the pets (such as images/Abyssinian_100.jpg)" in found.notes


@pytest.mark.parametrize("wrapper", ["oxford-iiit-pet", "archive/pets/pets"])
def test_wrapper_folders_change_nothing(tmp_path, wrapper):
    plain = rows(label(pets(tmp_path / "a")))
    wrapped = rows(label(pets(tmp_path / "b" / wrapper).parents[wrapper.count("/")]))
    assert wrapped == {f"{wrapper}/{path}": row for path, row in plain.items()}


def test_archives_that_were_unpacked_into_folders_of_their_names(tmp_path):
    pets(tmp_path / "x")
    put(
        tmp_path / "y",
        *(f"images/{path.relative_to(tmp_path / 'x')}" for path in (tmp_path / "x/images").glob("*.jpg")),
    )
    for name in ("trainval.txt", "test.txt"):
        write(tmp_path / "y", f"annotations/annotations/{name}", (tmp_path / "x/annotations" / name).read_bytes())
    found = label(tmp_path / "y")
    assert parts(found) == {"train": 12, "test": 12}
    assert found.labels_from.endswith("annotations/annotations/trainval.txt and annotations/annotations/test.txt")


def test_images_that_are_not_there_are_said(tmp_path):
    pets(tmp_path)
    (tmp_path / "images/Bengal_2.jpg").unlink()
    found = label(tmp_path)
    assert len(rows(found)) == 23
    assert "1 image that the lists name is not there (such as images/Bengal_2.jpg)" in found.notes


def test_another_label_column_is_offered_what_there_is(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown label column 'specis'; close matches: species"):
        label(pets(tmp_path), label_column="specis")


def test_a_list_with_broken_lines_is_refused(tmp_path):
    pets(tmp_path)
    write(tmp_path, "annotations/test.txt", "Bengal_1 4 1 1\nBengal_3\n")
    with pytest.raises(ImageSetError, match="line 'Bengal_3' of annotations/test.txt has 1 word; expected 3 or more"):
        label(tmp_path)


def test_the_tree_alone_is_looked_at(tmp_path):
    """Archives have no disk: paths and `read` are all there is."""
    from featstore.images.tree import Tree
    from tests.support.trees import tree_of

    real = tree_of(pets(tmp_path / "pets"))
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.add(tmp_path / "pets", "pets")
    with tarfile.open(tmp_path / "pets.tar") as archive:
        kept = {one.name[5:].encode(): archive.extractfile(one).read() for one in archive if one.isfile()}
    from featstore.images.reading import Reading
    from featstore.layouts.labelling import label_tree

    member = Tree(
        b"/nowhere/pets.tar", real.paths, real.sizes, real.mtimes, real.folders, real.skipped, kept.__getitem__
    )
    assert rows(label_tree(member, Reading())) == rows(label_tree(real, Reading()))


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test1"), ("train/train", "test1/test1"), ("train", "test"), ("dogs/train", "dogs/test1")],
)
def test_kaggles_dogs_and_cats(tmp_path, train, test):
    put(tmp_path, *(f"{train}/{animal}.{i}.jpg" for animal in ("cat", "dog") for i in range(3)))
    put(tmp_path, *(f"{test}/{i}.jpg" for i in range(1, 5)))
    write(tmp_path, "sampleSubmission.csv", "id,label\n1,0\n")
    found = label(tmp_path)
    expected = {f"{train}/{animal}.{i}.jpg": (animal, "train") for animal in ("cat", "dog") for i in range(3)}
    assert rows(found) == expected
    assert found.layout == "dogs-vs-cats" and found.labels_from == "2 classes from the file names"
    assert found.notes == [
        "4 images left out, for their names tell no label; `unlabelled=True` takes them without labels"
    ]
    bare = {f"{test}/{i}.jpg": (None, "test") for i in range(1, 5)}
    assert rows(label(tmp_path, unlabelled=True)) == expected | bare


def test_a_folder_of_kaggles_photos_alone(tmp_path):
    put(tmp_path, "cat.0.jpg", "cat.1.jpg", "dog.0.jpg")
    assert rows(label(tmp_path)) == {"cat.0.jpg": ("cat", ""), "cat.1.jpg": ("cat", ""), "dog.0.jpg": ("dog", "")}


@pytest.mark.parametrize("names", [("cat.0.jpg", "cat.1.jpg"), ("cat.0.jpg", "dog.0.jpg", "7.jpg")])
def test_other_names_are_not_taken_for_kaggles(tmp_path, names):
    put(tmp_path, *(f"train/{name}" for name in names))
    with pytest.raises(ImageSetError, match="lie in no class folder"):
        label(tmp_path)


def test_names_in_other_capitals(tmp_path):
    put(tmp_path, "train/Cat.0.jpg", "train/Dog.0.jpg", "test1/1.jpg")
    found = label(tmp_path)
    assert found.layout == "dogs-vs-cats" and {name for _, name, _ in found.found.runs} == {b"cat", b"dog"}
