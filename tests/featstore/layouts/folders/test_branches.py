"""Images without a class: loose ones, and those that are looked at again."""

from tests.support.trees import label, put, reasons, rows


def test_loose_images_are_left_out_or_unlabelled(tmp_path):
    put(tmp_path, "loose.jpg", "train/loose.jpg", "train/cats/1.jpg", "val/cats/2.jpg")
    found = label(tmp_path)
    assert set(rows(found)) == {"train/cats/1.jpg", "val/cats/2.jpg"}
    assert reasons(found) == dict.fromkeys(["loose.jpg", "train/loose.jpg"], "lies in no class folder")
    assert rows(label(tmp_path, unlabelled=True))["train/loose.jpg"] == (None, "train")


def test_left_out_images_are_looked_at_again(tmp_path):
    """A reason with a size is remembered for a file that is no image."""
    put(tmp_path, "loose", "cats/1.jpg", "dogs/1.jpg")
    assert [one.size for one in label(tmp_path).skipped if one.path == b"loose"] == [-1]
