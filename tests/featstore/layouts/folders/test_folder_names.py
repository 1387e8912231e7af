"""What folder names say."""

from featstore.layouts.folders.folder_names import is_generic
from tests.support.trees import classes, label, put


def test_generic_names():
    assert is_generic(b"JPEGImages") and is_generic(b"photos") and not is_generic(b"cats")


def test_numbered_classes_are_classes(tmp_path):
    put(tmp_path, "class_1/1.jpg", "class_2/1.jpg")
    assert classes(label(tmp_path)) == {"class_1", "class_2"}
