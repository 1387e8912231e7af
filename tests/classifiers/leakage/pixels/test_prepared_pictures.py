import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from classifiers.leakage.pixels import prepared_pictures as module
from classifiers.leakage.pixels.prepared_pictures import PreparedPictures
from tests.support.copied_pictures import square, texture


@pytest.fixture(scope="module")
def grey():
    return np.stack([square(texture(i)) for i in range(5)])


def test_layers_are_the_structure_between_two_sizes(grey):
    layers, _ = PreparedPictures(grey).layers_of(np.array([[0, 1]]))
    values = grey.astype(np.float64)
    expected = [gaussian_filter(image, 1.0) - gaussian_filter(image, 4.0) for image in values]
    inside = np.s_[:, 16:-16, 16:-16]  # at the edge the two cut their Gaussians off in other ways
    np.testing.assert_allclose(layers.fine.numpy()[inside], np.stack(expected)[inside], atol=0.5)
    assert layers.coarse.shape == layers.shown_coarse.shape == (5, 32, 32)
    assert layers.shown.mean() > 0.99 and not layers.blank.any()


def test_what_filled_a_turned_picture_is_not_shown(grey):
    filled = grey.copy()
    filled[1, :, :12] = 0
    layers, _ = PreparedPictures(filled).layers_of(np.array([[0, 1]]))
    assert (layers.shown[1, :, :12] == 0).all() and (layers.fine[1, :, :12] == 0).all()
    assert layers.shown[1, :, 16:].mean() > 0.9


def test_an_object_on_white_has_a_background_and_no_fill():
    grey = np.full((1, 64, 64), 255, np.uint8)
    grey[0, 24:40, 24:40] = np.arange(16) * 10
    layers, _ = PreparedPictures(grey).layers_of(np.array([[0, 0]]))
    assert (layers.shown == 1).all()


def test_a_picture_without_structure_is_blank(grey):
    flat = grey.copy()
    flat[2] = 77
    layers, _ = PreparedPictures(flat).layers_of(np.array([[0, 2]]))
    assert layers.blank.tolist() == [False, False, True, False, False]


def test_of_many_pictures_those_of_the_pairs_are_made(grey, monkeypatch):
    pairs = np.array([[4, 1], [1, 3]])
    held, same = PreparedPictures(grey).layers_of(pairs)
    monkeypatch.setattr(module, "_HELD", 3)
    made, local = PreparedPictures(grey).layers_of(pairs)
    assert same.tolist() == pairs.tolist() and len(made.fine) == 3
    np.testing.assert_allclose(made.fine[local], held.fine[same], atol=1e-5)
    assert (made.shown[local] == held.shown[same]).all()


def test_no_picture_is_no_layer():
    pictures = PreparedPictures(np.zeros((0, 64, 64), np.uint8))
    layers, _ = pictures.layers_of(np.empty((0, 2), np.int64))
    assert len(pictures) == 0 and layers.fine.shape == (0, 64, 64)
