import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from classifiers.report.figures import raster


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_pixels_rounds_floats_and_spreads_grey(rng) -> None:
    grey = rng.random((4, 5))
    shown = raster.pixels(grey)
    assert shown.shape == (4, 5, 3) and shown.dtype == np.uint8
    assert np.array_equal(shown[..., 1], np.round(grey * 255).astype(np.uint8))
    rgb = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert np.array_equal(raster.pixels(rgb), rgb)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 4, 4)), r"shape .* \(3, 4, 4\)"),
        (np.full((4, 4), 1.5), r"in \[0, 1\], this one in \[1.5, 1.5\]"),
        (np.full((4, 4), np.nan), r"in \[0, 1\]"),
        (np.zeros((4, 4), dtype=np.int32), "int32"),
        (np.zeros((0, 4, 3), dtype=np.uint8), "shape"),
    ],
)
def test_pixels_refuses_what_is_no_picture(bad, message) -> None:
    with pytest.raises(ValueError, match=message):
        raster.pixels(bad)


def test_colours_are_matplotlibs(rng) -> None:
    values = rng.normal(size=(6, 7))
    share = (values - values.min()) / (values.max() - values.min())
    expected = matplotlib.colormaps["viridis"](share, bytes=True)[..., :3]
    assert np.abs(raster.coloured(values).astype(int) - expected).max() <= 1
    assert np.array_equal(raster.coloured(np.ones((2, 2)))[0, 0], raster.coloured(np.zeros((2, 2)))[0, 0])


def test_colours_mark_what_is_no_number() -> None:
    shown = raster.coloured(np.array([[0.0, np.nan], [1.0, np.inf]]))
    assert shown[0, 1].tolist() == shown[1, 1].tolist() == [128, 128, 128]
    assert raster.coloured(np.full((2, 2), np.nan)).tolist() == [[[128] * 3] * 2] * 2


def test_overlay_leaves_cold_places_untouched(rng) -> None:
    picture = rng.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    heat = np.zeros((8, 6))
    assert np.array_equal(raster.overlay(picture, heat), picture)
    heat[1, 1] = 1.0
    warm = raster.overlay(picture, heat)
    assert not np.array_equal(warm[8:16, 8:16], picture[8:16, 8:16])
    assert np.array_equal(warm[40:, 30:], picture[40:, 30:])
    with pytest.raises(ValueError, match="heat map"):
        raster.overlay(picture, heat * 2)


def test_grid_shows_every_picture_unscaled_in_its_place(rng) -> None:
    tiles = [rng.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(5)]
    sheet = raster.grid(tiles, columns=3, gap=4)
    assert sheet.shape == (2 * 24 + 4, 3 * 24 + 4, 3)
    for i, tile in enumerate(tiles):
        top, left = 4 + i // 3 * 24, 4 + i % 3 * 24
        assert np.array_equal(sheet[top : top + 20, left : left + 20], tile)
    assert (sheet[28:48, 52:72] == 255).all()


def test_grid_writes_labels_below_their_pictures() -> None:
    black = np.zeros((60, 60, 3), dtype=np.uint8)
    without = raster.grid([black, black], columns=2)
    sheet = raster.grid([black, black], columns=2, labels=["a_very_long_class_name_that_cannot_fit", "97.3 %\nsecond"])
    assert sheet.shape[0] > without.shape[0] and sheet.shape[1] == without.shape[1]
    below = sheet[12 + 60 : -12]
    assert (below[:, :72] < 200).any() and (below[:, 84:] < 200).any()
    assert (sheet[:, 72:84] == 255).all(), "a label runs into its neighbour's column"


def test_grid_enlarges_by_whole_pixels_and_reduces_smoothly() -> None:
    checks = (np.indices((4, 4)).sum(0) % 2).astype(float)
    sheet = raster.grid([checks], cell=18, gap=1)
    assert np.array_equal(sheet[2:18, 2:18, 0], np.kron(checks, np.ones((4, 4))) * 255)
    assert 100 < raster.grid([np.kron(checks, np.ones((50, 1)))], cell=20, gap=1)[1:21, 10].mean() < 255


def test_grid_in_dark() -> None:
    sheet = raster.grid([np.ones((30, 30))], labels=["x"], title="Title", paper=raster.DARK)
    assert tuple(sheet[0, 0]) == raster.DARK.background


def test_grid_needs_a_label_a_picture() -> None:
    with pytest.raises(ValueError, match="1 pictures and 2 labels"):
        raster.grid([np.zeros((2, 2))], labels=["a", "b"])
    with pytest.raises(ValueError, match="0 pictures"):
        raster.grid([])


def test_png_is_lossless_and_says_how_it_was_made(rng) -> None:
    picture = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    opened = Image.open(io.BytesIO(raster.png(picture, {"featstore": "épsilon 4/255"})))
    assert np.array_equal(np.asarray(opened), picture)
    assert opened.text["featstore"] == "épsilon 4/255"


def test_save_png_writes_what_png_gives(rng, tmp_path) -> None:
    picture = rng.random((9, 11, 3))
    raster.save_png(tmp_path / "a.png", picture)
    raster.save_png(tmp_path / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.rint(picture * 255).astype(np.uint8))
