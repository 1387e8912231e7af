"""Image files without labels."""

import os

import pytest

from featstore import FeatureStore
from featstore.errors import ImagesNotFoundError
from featstore.images.unlabelled import find_images
from tests.support.pictures import encode, texture

JPEG = encode(texture(0))


def put(path, data=JPEG):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_folders_are_searched_to_the_bottom_in_byte_order(tmp_path):
    for name in (
        "b.jpg",
        "a/z.jpg",
        "a/b/c.PNG",
        "a b.jpg",
        "new\nline.jpg",
        "no-extension",
        ".hidden.jpg",
        ".git/x.jpg",
    ):
        put(tmp_path / name)
    put(tmp_path / "notes.txt", b"hello")
    found = find_images([tmp_path])
    names = [os.path.relpath(path, os.fsencode(tmp_path)) for path in found.paths]
    assert names == [b"a b.jpg", b"a/b/c.PNG", b"a/z.jpg", b"b.jpg", b"new\nline.jpg", b"no-extension"]
    assert found.skipped == ()


def test_a_named_file_is_taken_whatever_its_name_and_order_is_kept(tmp_path):
    first, second = put(tmp_path / "z.txt", b"no image"), put(tmp_path / "a.jpg")
    assert find_images([first, second, first]).paths == (os.fsencode(first), os.fsencode(second))
    put(tmp_path / "folder" / "b.jpg")
    assert len(find_images([second, tmp_path]).paths) == 2


def test_names_that_are_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(JPEG)
    assert find_images([tmp_path]).paths == (path,)


def test_links_that_lead_in_circles_end(tmp_path):
    put(tmp_path / "a" / "b.jpg")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "up").symlink_to(tmp_path)
    assert len(find_images([tmp_path]).paths) == 1


def test_what_is_named_like_an_image_but_is_none_is_listed_with_its_reason(tmp_path):
    put(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    found = find_images([tmp_path])
    assert len(found.paths) == 1
    reasons = {os.path.basename(name): reason for name, reason in found.skipped}  # noqa: PTH119
    assert reasons == {"pipe.jpg": "not a regular file", "broken.png": "cannot be read: No such file or directory"}


def test_nothing_to_classify_is_an_error(tmp_path):
    put(tmp_path / "notes.txt", b"hello")
    with pytest.raises(ImagesNotFoundError, match="there is no image in .*expected JPEG"):
        find_images([tmp_path])
    with pytest.raises(ImagesNotFoundError, match=r"none\.jpg cannot be opened: No such file"):
        find_images([tmp_path / "none.jpg"])


def test_a_feature_store_is_called_what_it_is(tmp_path):
    FeatureStore(tmp_path / "s", create=True)
    with pytest.raises(ImagesNotFoundError, match="is a feature store and holds no images; name the image files"):
        find_images([tmp_path / "s"])


def test_a_place_that_does_not_exist_does_not_stop_the_others(tmp_path):
    image = put(tmp_path / "a.jpg")
    found = find_images([tmp_path / "none.jpg", image])
    assert found.paths == (os.fsencode(image),)
    assert found.skipped == ((str(tmp_path / "none.jpg"), "cannot be opened: No such file or directory"),)
