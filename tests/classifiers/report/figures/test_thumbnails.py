import base64
import io
import os
import time

import numpy as np
import pytest
from PIL import Image

from classifiers.report.figures.thumbnails import Thumbnails

COLOURS = ["red", "lime", "blue", "white"]


@pytest.fixture
def folder(tmp_path):
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (300, 200), colour).save(tmp_path / f"{i}.{'jpg' if i % 2 else 'png'}", quality=95)
    return tmp_path


def opened(uri: str) -> Image.Image:
    head, data = uri.split(",", 1)
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def paths(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_pictures_keep_their_shape(folder):
    found = Thumbnails(str(folder), paths(folder)).pictures(range(4), 96)
    assert list(found) == [0, 1, 2, 3]
    for i, uri in found.items():
        picture = opened(uri)
        assert picture.size == (96, 64)
        expected = Image.new("RGB", (1, 1), COLOURS[i]).getpixel((0, 0))
        assert np.abs(np.subtract(picture.getpixel((48, 32)), expected)).max() < 12


def test_the_sheet_has_each_picture_in_its_cell(folder):
    sheet = Thumbnails(str(folder), paths(folder)).sheet([3, 1, 2], side=32)
    picture = opened(sheet.uri)
    assert picture.size == (sheet.columns * 32, sheet.rows * 32)
    assert sheet.cells == {3: 0, 1: 1, 2: 2}
    for image, cell in sheet.cells.items():
        at = (cell % sheet.columns * 32 + 16, cell // sheet.columns * 32 + 16)
        expected = Image.new("RGB", (1, 1), COLOURS[image]).getpixel((0, 0))
        assert np.abs(np.subtract(picture.getpixel(at), expected)).max() < 16


def test_the_sheet_keeps_to_its_limit(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(64):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"{i:02d}.png")
    thumbnails = Thumbnails(str(tmp_path), paths(tmp_path))
    large, small = thumbnails.sheet(range(64), limit=10**7), thumbnails.sheet(range(64), limit=20_000)
    assert len(large.uri) > len(small.uri) and len(small.uri) * 3 // 4 <= 20_000
    assert small.side < large.side and len(small.cells) == 64
    assert thumbnails.sheet(range(64), limit=10) is None


def test_the_turned_picture_of_a_camera_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (300, 100)).save(tmp_path / "turned.jpg", exif=exif)
    uri = Thumbnails(str(tmp_path), ["turned.jpg"]).pictures([0], 60)[0]
    assert opened(uri).size == (20, 60)


def test_what_cannot_be_read_has_no_thumbnail(folder):
    (folder / "text.jpg").write_text("no picture")
    (folder / "cut.jpg").write_bytes((folder / "1.jpg").read_bytes()[:300])
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    names = ["gone.jpg", "text.jpg", "cut.jpg", "pipe.jpg", "folder.jpg", "nul\0.jpg", "1.jpg"]
    began = time.monotonic()
    assert list(Thumbnails(str(folder), names).pictures(range(-1, 9), 50)) == [6]
    assert time.monotonic() - began < 5, "it waited for a pipe"
    assert Thumbnails(str(folder), names).sheet([0, 1]) is None
    assert Thumbnails("", ["1.jpg"]).pictures([0], 50) == {}


def test_a_name_that_is_no_unicode_is_found(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(tmp_path / name)
    assert list(Thumbnails(str(tmp_path), [name]).pictures([0], 10)) == [0]


def test_time_runs_out(folder):
    assert Thumbnails(str(folder), paths(folder), seconds=-1).pictures(range(4), 50) == {}
