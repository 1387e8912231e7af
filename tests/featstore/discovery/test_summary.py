"""What was found, for people and documents."""

from featstore.discovery.summary import found_json, found_lines
from featstore.images.listing import Skipped
from tests.featstore.discovery.test_doubts import images


def test_classes_parts_formats_and_what_was_left_out():
    found = images([0, 1, 0, -1], ("cat", "dog"), ["train", "train", "test", "test"]).with_about(
        layout="list",
        labels_from="2 classes from column 'label' of pets.csv",
        parts_from="parts from column 'split'",
    )
    object.__setattr__(found, "kinds", ("JPEG", "JPEG", "PNG 16-bit", "JPEG"))
    object.__setattr__(found, "skipped", (Skipped(b"x", "hidden"), Skipped(b"a.txt", "not a supported image: text")))
    assert found_lines("pets", 4, found_json(found)) == [
        "pets: 4 images; 2 classes from column 'label' of pets.csv; parts from column 'split'",
        "  train: 2 images (cat 1, dog 1)",
        "  test: 1 image (cat 1)",
        "  without a label: 1 image",
        "  formats: JPEG 3, PNG 16-bit 1",
        "  left out: 1 (not a supported image: text)",
    ]


def test_many_classes_are_counted_not_listed():
    lines = found_lines("pets", 40, found_json(images(list(range(20)) * 2, [f"c{i}" for i in range(20)])))
    assert lines == ["pets: 40 images", "  no part: 40 images (20 classes of 2: c0, c1, c2, ...)"]
