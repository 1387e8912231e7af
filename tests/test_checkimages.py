import numpy as np

from featstore.checkimages import check_images


def test_check_images_are_two_different_full_range_pictures():
    pictures = check_images(48)
    assert pictures.shape == (2, 48, 48, 3) and pictures.dtype == np.uint8
    assert all(picture.min() == 0 and picture.max() == 255 for picture in pictures)
    assert np.array_equal(pictures, check_images(48))
