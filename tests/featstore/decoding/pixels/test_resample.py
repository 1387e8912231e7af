"""The compiled resize gives Pillow's bits, and where it is missing or wrong nobody notices but by the clock."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from featstore.decoding.pixels import resample, transform
from featstore.decoding.pixels.resample import FILTERS, resized
from featstore.decoding.pixels.transform import TransformSpec

CONVOLUTIONS = [name for name in FILTERS if name != "nearest"]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A third black, a third white, a third anything: sums beyond both ends are cut."""
    rng = np.random.default_rng(seed)
    return rng.integers(-255, 511, (height, width, 3)).clip(0, 255).astype(np.uint8)


def by_pillow(picture: np.ndarray, size: tuple[int, int], box: tuple[int, int, int, int], name: str) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(size, FILTERS[name]).crop(box))


@pytest.fixture
def module(monkeypatch):
    """Puts something else in the place of the compiled module; None for nothing."""

    def replaced(other):
        monkeypatch.setitem(sys.modules, "featstore.decoding.pixels._resample", other)
        resample._compiled.cache_clear()

    yield replaced
    monkeypatch.undo()
    resample._compiled.cache_clear()


@pytest.fixture
def resize():
    return pytest.importorskip("featstore.decoding.pixels._resample").resize


def test_it_is_in_use_where_there_is_a_compiler(compiler):
    assert [name for name in FILTERS if resample.compiled(name)] == CONVOLUTIONS


side = st.integers(1, 700) | st.integers(1, 12)


@settings(max_examples=400, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", FILTERS)
def test_same_bits_as_pillow_for_any_sizes_and_any_box(name, data):
    width, height, *size = (data.draw(side) for _ in range(4))
    left, top = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    right, bottom = data.draw(st.integers(left + 1, size[0])), data.draw(st.integers(top + 1, size[1]))
    picture, box = noise(width, height, data.draw(st.integers(0, 9))), (left, top, right, bottom)
    result = resized(picture, tuple(size), box, name)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, by_pillow(picture, tuple(size), box, name))
    np.testing.assert_array_equal(resized(Image.fromarray(picture), tuple(size), box, name), result)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("size", [(341, 256), (640, 480), (900, 77), (50, 700)])
def test_a_crop_at_every_border(name, size):
    picture, (width, height) = noise(500, 375), size
    whole = by_pillow(picture, size, (0, 0, *size), name)
    for left, right in ((0, width), (0, 1), (0, 33), (width - 1, width), (width - 33, width), (9, width - 9)):
        for top, bottom in ((0, height), (0, 1), (0, 33), (height - 1, height), (height - 33, height), (9, height - 9)):
            part = resized(picture, size, (left, top, right, bottom), name)
            np.testing.assert_array_equal(part, whole[top:bottom, left:right])


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_photographs(name):
    for photo in pytest.importorskip("sklearn.datasets").load_sample_images().images:
        for size in ((384, 256), (224, 224), (100, 900), (1000, 700)):
            box = (size[0] // 9, size[1] // 9, size[0], size[1] - 3)
            np.testing.assert_array_equal(resized(photo, size, box, name), by_pillow(photo, size, box, name))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(100_000, 1, (256, 1)), (1, 30_000, (2, 256)), (1, 2, (1, 9000)), (30_000, 1, (7, 300))],
)
def test_hostile_shapes(name, width, height, size):
    box = (0, size[1] // 2, size[0], size[1])
    picture = noise(width, height)
    np.testing.assert_array_equal(resized(picture, size, box, name), by_pillow(picture, size, box, name))


def test_a_view_of_an_array_is_as_good_as_an_array():
    picture = noise(90, 60)[::2, ::-3]
    expected = by_pillow(np.ascontiguousarray(picture), (20, 20), (1, 1, 20, 20), "bicubic")
    np.testing.assert_array_equal(resized(picture, (20, 20), (1, 1, 20, 20), "bicubic"), expected)


def test_without_the_module_the_bits_are_the_same(module):
    picture, specs = noise(400, 300), [TransformSpec(128, 112, name) for name in FILTERS]
    sizes = [((120, 90), (10, 11, 100, 80)), ((120, 90), (0, 0, 120, 90)), ((500, 20), (200, 3, 424, 20))]
    with_it = [resized(picture, size, box, name) for size, box in sizes for name in FILTERS]
    applied = [spec.apply(picture) for spec in specs]
    module(None)
    assert not any(resample.compiled(name) for name in FILTERS)
    for a, b in zip(
        with_it, [resized(picture, size, box, name) for size, box in sizes for name in FILTERS], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    for a, spec in zip(applied, specs, strict=True):
        np.testing.assert_array_equal(a, spec.apply(picture))
        np.testing.assert_array_equal(a, spec.apply_to_image(Image.fromarray(picture)))


def test_a_module_with_one_wrong_bit_is_not_used(module, resize):
    def one_bit_off(out, rgb, size, corner, name):
        resize(out, rgb, size, corner, name)
        if name == "bicubic":
            out[-1, -1, 2] ^= 1

    module(SimpleNamespace(resize=one_bit_off))
    assert not resample.compiled("bicubic") and resample.compiled("lanczos")
    picture, box = noise(70, 50), (3, 4, 30, 20)
    np.testing.assert_array_equal(
        resized(picture, (35, 25), box, "bicubic"), by_pillow(picture, (35, 25), box, "bicubic")
    )


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_a_module_of_another_version_is_not_used(module, error):
    def refuses(*_):
        raise error("other arguments")

    module(SimpleNamespace(resize=refuses))
    assert not resample.compiled("bilinear")
    module(SimpleNamespace())
    assert not resample.compiled("bilinear")


def test_the_trials_are_pictures_that_the_module_would_be_given():
    for (height, width), size, box in resample._TRIALS:
        assert resample._rows_first((width, height), size)
        assert 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(90, 70), (340, 20), (95, 251)])
def test_a_large_pillow_image_is_copied_by_strips(monkeypatch, name, size):
    picture, box = noise(170, 125), (3, 4, size[0] - 1, size[1] - 2)
    for strip in (1, 170 * 7, 170 * 124):
        monkeypatch.setattr(resample, "COPIED_WHOLE", 100)
        monkeypatch.setattr(resample, "STRIP", strip)
        result = resized(Image.fromarray(picture), size, box, name)
        np.testing.assert_array_equal(result, by_pillow(picture, size, box, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter": "cubic"}, "'cubic' is not known; use one of nearest, box"),
        ({"box": (0, 0, 36, 25)}, "not inside a picture of"),
        ({"box": (-1, 0, 35, 25)}, "not inside a picture of"),
        ({"box": (4, 4, 4, 9)}, "is empty"),
        ({"size": (0, 0)}, "is empty or not inside"),
        ({"picture": noise(7, 5)[..., 0]}, r"uint8 array of shape \(h, w, 3\), not uint8 \(5, 7\)"),
        ({"picture": noise(7, 5).astype(np.float32)}, "not float32"),
        ({"picture": noise(7, 5)[:0]}, r"not uint8 \(0, 7, 3\)"),
        ({"picture": Image.new("L", (7, 5))}, r"of mode RGB and not empty, not L \(7, 5\)"),
    ],
)
def test_what_cannot_be_resized_is_refused_with_a_sentence(change, message):
    with pytest.raises(ValueError, match=message):
        resized(**{"picture": noise(7, 5), "size": (35, 25), "box": (0, 0, 35, 25), "filter": "bilinear", **change})


OUT, IN = np.zeros((4, 6, 3), np.uint8), noise(9, 8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (OUT, IN, (8, 9), (5, 0), "box"),
            ValueError,
            r"\(4, 6\) at \(5, 0\) is not inside a picture of \(8, 9\)",
        ),
        ((OUT, IN, (8, 9), (0, 4), "box"), ValueError, "not inside"),
        ((OUT, IN, (8, 9), (-1, 0), "box"), ValueError, "not inside"),
        ((OUT, IN, (8, 9), (sys.maxsize, sys.maxsize), "box"), ValueError, "not inside"),
        ((OUT, IN, (8, 9), (-sys.maxsize - 1, -sys.maxsize - 1), "box"), ValueError, "not inside"),
        ((OUT, IN, (0, 9), (0, 0), "box"), ValueError, "from 1 to 16,777,216"),
        ((OUT, IN, (8, 1 << 25), (0, 0), "box"), ValueError, "from 1 to 16,777,216"),
        ((OUT, IN, (8, 1 << 70), (0, 0), "box"), OverflowError, None),
        ((OUT, IN, (8, 9), (0, 0), "nearest"), ValueError, "filter 'nearest' is not one of box, bilinear"),
        ((OUT, IN[..., :2], (8, 9), (0, 0), "box"), (ValueError, BufferError), None),
        ((OUT, IN[..., 0].copy(), (8, 9), (0, 0), "box"), ValueError, "uint8 array of shape"),
        ((OUT, IN.astype(np.int8), (8, 9), (0, 0), "box"), ValueError, "uint8 array of shape"),
        ((OUT, np.zeros((0, 4, 3), np.uint8), (8, 9), (0, 0), "box"), ValueError, "sides from 1"),
        ((OUT[:0], IN, (8, 9), (0, 0), "box"), ValueError, "sides from 1"),
        ((OUT[:, ::2], IN, (8, 9), (0, 0), "box"), (ValueError, BufferError), None),
        ((OUT.tobytes(), IN, (8, 9), (0, 0), "box"), (ValueError, BufferError), None),
        ((OUT, "text", (8, 9), (0, 0), "box"), TypeError, "bytes-like"),
        ((OUT, IN, (8, 9), (0, 0)), TypeError, None),
    ],
)
def test_the_module_itself_refuses_what_would_lead_it_astray(resize, arguments, error, message):
    with pytest.raises(error, match=message):
        resize(*arguments)


def test_memory_that_runs_out_is_a_memory_error(resize):
    pytest.importorskip("resource")
    if not Path("/proc/self/statm").exists():
        pytest.skip("address space is limited on Linux only")
    code = """if True:
        import resource
        import numpy as np
        from featstore.decoding.pixels._resample import resize
        rgb, out = np.zeros((1, 1 << 24, 3), np.uint8), np.empty((1, 1, 3), np.uint8)
        now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        for more in range(0, 1000 << 20, 50 << 20):
            resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))
            try:
                resize(out, rgb, (1, 1), (0, 0), "lanczos")
            except MemoryError:
                print("MemoryError", more)
        """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=250)
    assert ended.stdout.count("MemoryError") >= 3


def test_the_transform_of_a_pillow_image_and_of_its_array_is_one(monkeypatch):
    for size in ((500, 375), (300, 700), (40, 30), (5, 900)):
        picture = noise(*size)
        for limit in (transform.MAX_RESIZED_PIXELS, 1000):
            monkeypatch.setattr(transform, "MAX_RESIZED_PIXELS", limit)
            spec = TransformSpec(64, 80)
            np.testing.assert_array_equal(spec.apply(picture), spec.apply_to_image(Image.fromarray(picture)))
