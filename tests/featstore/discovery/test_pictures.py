import hashlib

import numpy as np
import pytest
from PIL import Image

from featstore.decoding.decode import decode
from featstore.discovery.pictures import Pictures
from featstore.errors import ImageSetError
from featstore.images.hashing import hash_files
from featstore.sources.addresses import addresses
from featstore.sources.memory import ppm
from featstore.sources.reading import read
from tests.support.archives import pictures

RNG = np.random.default_rng(0)
ARRAYS = [RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8) for _ in range(4)]


class MapStyle:
    """As torchvision's data sets."""

    classes = ["cat", "dog"]

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Subset:
    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]


class Feature:
    """Features of the hub are told by the names of their classes."""

    def __init__(self, decode=True, names=None):
        self.decode, self.names = decode, names


Hub_Image = type("Image", (Feature,), {})
Hub_ClassLabel = type("ClassLabel", (Feature,), {})


class HubDataset:
    def __init__(self, rows, features):
        self.rows, self.features, self.column_names = rows, features, list(features)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        assert not self.features["image"].decode, "pictures would be decoded"
        return self.rows[index]

    def cast_column(self, name, feature):
        return HubDataset(self.rows, {**self.features, name: feature})


def test_arrays_with_labels_names_and_parts_can_be_read_until_they_are_closed():
    with Pictures.of(ARRAYS, [1, 0, None, 1], ids=["a", "b/c", "d", "e"], splits=["train", "val", "", "train"]) as held:
        labelled = held.labelled()
        assert labelled.found.paths == [b"a", b"b/c", b"d", b"e"] and labelled.root == held.root
        assert labelled.found.runs == [(1, b"1", "train"), (1, b"0", "val"), (1, None, ""), (1, b"1", "train")]
        found = addresses([held.root + b"/" + path for path in labelled.found.paths])
        assert found == list(held.addresses.values())
        hashed = hash_files(found)
        assert [h.digest for h in hashed] == [hashlib.sha256(ppm(array)).digest() for array in ARRAYS]
        assert [h.size for h in hashed] == labelled.found.sizes
        for address, array in zip(found, ARRAYS, strict=True):
            assert np.array_equal(decode(read(address, 10**6)), array)
    paths = [held.root + b"/a"]
    assert addresses(paths) == paths


def test_a_map_style_data_set_brings_labels_and_names_also_through_a_subset():
    data = MapStyle([(Image.fromarray(array), number % 2) for number, array in enumerate(ARRAYS)])
    with Pictures.of(Subset(data, [3, 0])) as held:
        assert held.labelled().found.runs == [(1, b"dog", ""), (1, b"cat", "")]
        assert held.labelled().labels_from == "2 classes from the data set" and len(held) == 2
        assert np.array_equal(decode(read(held.addresses[b"0"], 10**6)), ARRAYS[3])


def test_of_a_data_set_of_the_hub_the_files_own_bytes_are_taken(tmp_path):
    files = list(pictures(1).values())
    (tmp_path / "own.jpg").write_bytes(files[1])
    rows = [
        {"image": {"bytes": files[0], "path": None}, "label": 0},
        {"image": {"bytes": None, "path": str(tmp_path / "own.jpg")}, "label": -1},
    ]
    data = HubDataset(rows, {"image": Hub_Image(), "label": Hub_ClassLabel(names=["ant", "bee"])})
    with Pictures.of({"train": data, "validation": data}) as held:
        assert [read(address, 10**6) for address in held.addresses.values()] == files * 2
        assert held.labelled().found.runs == [
            (1, b"ant", "train"),
            (1, None, "train"),
            (1, b"ant", "val"),
            (1, None, "val"),
        ]


def test_an_array_of_pictures_and_names_for_numbers():
    with Pictures.of(np.stack(ARRAYS), np.array([0, 1, 1, 0]), classes=["cat", "dog"]) as held:
        assert held.labelled().found.runs == [(1, b"cat", ""), (2, b"dog", ""), (1, b"cat", "")]


@pytest.mark.parametrize(
    ("arguments", "said", "match"),
    [
        (([np.zeros((4, 4, 3))],), {}, "picture 0 is a picture of float64 values; uint8 is wanted"),
        ((ARRAYS, [1]), {}, "labels has 1 entries for 4 pictures"),
        ((ARRAYS,), {"ids": ["a"] * 4}, "'a' of ids is there twice"),
        ((ARRAYS,), {"ids": ["a", "", "c", "d"]}, "of ids is no name"),
        ((ARRAYS, [0, 1, 2, 3]), {"classes": ["a", "b"]}, "picture 2 has the label 2, and classes names 2"),
        ((ARRAYS,), {"splits": ["train", "x", "", ""]}, "picture 1 is of the part 'x'"),
        ((ARRAYS, [[1, 2]] * 4), {}, r"the label \[1, 2\]|the label '\[1, 2\]'"),
        (([],), {}, "there are no pictures"),
        ((iter(ARRAYS),), {}, "the data are list_iterator; expected"),
        (("folder",), {}, "the data are str"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said, match):
    with pytest.raises(ImageSetError, match=match):
        Pictures.of(*arguments, **said)
