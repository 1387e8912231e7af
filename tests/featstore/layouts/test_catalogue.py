"""Which layouts there are, and that each says what it is."""

from featstore.layouts.catalogue import LAYOUTS


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
