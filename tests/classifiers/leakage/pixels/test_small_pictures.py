import dataclasses

import numpy as np

from classifiers.leakage.pixels.small_pictures import SIDE, read_small_pictures
from tests.support.copied_pictures import picture_set, scene, square


def test_the_whole_picture_is_squeezed_to_a_grey_square(tmp_path):
    images = [scene(i, size=(200 + 40 * i, 180)) for i in range(5)]
    features = picture_set(tmp_path, images, np.arange(5) % 2, quality=98)
    told = []
    found = read_small_pictures(features, np.array([4, 1, 1]), told.append)
    assert found.rows.tolist() == [1, 4] and found.grey.shape == (2, SIDE, SIDE) and found.readable.all()
    for row, grey in zip(found.rows, found.grey, strict=True):
        assert np.abs(grey.astype(float) - square(images[row])).mean() < 4
    assert found.places(np.array([4, 1])).tolist() == [1, 0] and told[-1] == 2


def test_what_cannot_be_read_is_counted_by_its_reason(tmp_path):
    features = picture_set(tmp_path, [scene(i) for i in range(6)], np.arange(6) % 2)
    (tmp_path / "0002.jpg").unlink()
    (tmp_path / "0003.jpg").unlink()
    digests = features.digests.copy()
    digests[4] = 0
    found = read_small_pictures(dataclasses.replace(features, digests=digests), np.arange(6))
    assert found.readable.tolist() == [True, True, False, False, False, True]
    assert found.reasons == (("is gone", 2), ("the file changed since it was listed", 1))


def test_many_pictures_are_kept_in_a_file(tmp_path, monkeypatch):
    features = picture_set(tmp_path, [scene(i) for i in range(6)], np.arange(6) % 2)
    held = read_small_pictures(features, np.arange(6))
    monkeypatch.setattr("classifiers.leakage.pixels.small_pictures._IN_MEMORY", 3)
    mapped = read_small_pictures(features, np.arange(6))
    assert isinstance(mapped.grey, np.memmap)
    np.testing.assert_array_equal(mapped.grey, held.grey)
