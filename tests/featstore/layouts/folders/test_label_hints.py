"""What is said of images in no class folder: the pattern or the list that tells their labels."""

import pytest

from featstore.errors import ImageSetError
from tests.support.trees import classes, label, put, rows, write


@pytest.mark.parametrize("paths", [("1.jpg", "2.jpg"), ("train/1.jpg", "test/2.jpg"), ("images/1.jpg",)])
def test_flat_folders_are_refused_or_taken_without_labels(tmp_path, paths):
    put(tmp_path, *paths)
    with pytest.raises(ImageSetError, match="lie in no class folder .*`labels`.*`unlabelled=True`"):
        label(tmp_path)
    found = label(tmp_path, unlabelled=True)
    assert set(rows(found)) == set(paths) and classes(found) == {None}
    assert found.labels_from == ""


def test_a_pattern_is_offered_where_names_show_the_class(tmp_path):
    put(tmp_path, *(f"{name}_{i}.jpg" for name in ("Abyssinian", "great_pyrenees") for i in range(3)))
    with pytest.raises(ImageSetError) as refused:
        label(tmp_path)
    pattern = str(refused.value).partition('`labels="')[2].partition('"`')[0]
    assert "would give 2 classes such as Abyssinian" in str(refused.value)
    assert classes(label(tmp_path, labels=pattern)) == {"Abyssinian", "great_pyrenees"}


def test_a_list_beside_unlabelled_images_is_offered(tmp_path):
    put(tmp_path, "train/1.jpg", "test/2.jpg")
    write(tmp_path, "labels.csv", "id,breed\n1,beagle\n")
    with pytest.raises(ImageSetError, match=r'where a list has the classes, name it \(`labels="labels.csv"`\)'):
        label(tmp_path)


def test_one_folder_of_pictures_that_a_list_names_is_no_class(tmp_path):
    put(tmp_path, "ISIC-images/a1.jpg", "ISIC-images/a2.jpg")
    write(tmp_path, "gt.csv", "image,MEL,NV\na1,1.0,0.0\na2,0.0,1.0\n")
    with pytest.raises(ImageSetError, match='a list names them.*`labels="gt.csv"`'):
        label(tmp_path)
    assert classes(label(tmp_path, labels="gt.csv")) == {"MEL", "NV"}


def test_the_list_that_is_offered_has_labels_of_the_images(tmp_path):
    put(tmp_path, "train/1.jpg", "train/2.jpg", "test/3.jpg")
    write(tmp_path, "train.csv", "image_id,label\n1.jpg,a\n2.jpg,b\n")
    write(tmp_path, "a_test.csv", "image_id\n3.jpg\n")
    write(tmp_path, "sample_submission.csv", "image_id,label\n3.jpg,a\n")
    with pytest.raises(ImageSetError, match='`labels="train.csv"`'):
        label(tmp_path)
