import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from featstore.images.samples import TEXTURES, draw_texture, write_digits, write_textures


def test_textures_are_jpeg_files_in_one_folder_a_class(tmp_path):
    write_textures(tmp_path / "t", per_class=2, seed=3)
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == sorted(TEXTURES)
    files = sorted((tmp_path / "t").rglob("*.jpg"))
    assert len(files) == 2 * len(TEXTURES) == 16
    with Image.open(files[0]) as picture:
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (160, 160), "RGB")


def test_the_same_seed_draws_the_same_files_and_another_seed_others(tmp_path):
    drawn = [
        b"".join(p.read_bytes() for p in sorted(write_textures(tmp_path / name, per_class=1, seed=seed).rglob("*.jpg")))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("name", TEXTURES)
def test_every_texture_has_contrast_and_varies(name):
    first, second = (draw_texture(name, np.random.default_rng(i), size=64) for i in range(2))
    assert first.dtype == np.uint8
    assert first.shape == (64, 64, 3)
    assert first.std() > 5
    assert np.abs(first.astype(int) - second).mean() > 5


def test_digits_are_scikit_learns_own_scans(tmp_path):
    write_digits(tmp_path, per_class=3)
    source = load_digits()
    path = sorted((tmp_path / "digit-7").iterdir())[0]
    number = int(path.stem.split("_")[1])
    assert source.target[number] == 7
    with Image.open(path) as picture:
        small = np.asarray(picture.resize((8, 8), Image.Resampling.BOX), dtype=float)
    assert np.corrcoef(small.ravel(), source.images[number].ravel())[0, 1] > 0.95
    assert len(list(tmp_path.rglob("*.png"))) == 30
