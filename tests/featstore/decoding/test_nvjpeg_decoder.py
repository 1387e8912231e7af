"""JPEG files decoded and resized on a device; without one, libjpeg stands in for nvJPEG."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from featstore.decoding import nvjpeg_decoder
from featstore.decoding.nvjpeg_decoder import NvjpegDecoder, check_nvjpeg, require_cuda, upright
from featstore.decoding.pixels.decode import decode
from featstore.decoding.pixels.jpeg_header import JpegHeader, read_header
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import DeviceError
from tests.support.pictures import encode, exif, texture

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]
SPEC = TransformSpec(resize=40, crop=32, nvjpeg=True)


def smooth(seed, width, height):
    """A picture without fine colour, on which decoders agree."""
    small = Image.fromarray(texture(seed, 12, 9))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def files(count, **options):
    sizes = [(60 + 13 * i, 50 + 29 * (i % 5)) for i in range(count)]
    kinds = [{"subsampling": i % 3, "progressive": i % 2 == 1} for i in range(count)]
    return [
        encode(smooth(i, *size), quality=92, **kind, **options)
        for i, (size, kind) in enumerate(zip(sizes, kinds, strict=True))
    ]


def decoded(data, device, spec=SPEC):
    return NvjpegDecoder(spec, device).decode(data, [read_header(file) for file in data])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(40, 32), (64, 64), (20, 48), (150, 131)])
def test_pixels_are_pillows_within_a_few_grey_levels(device, interpolation, resize, crop):
    spec = TransformSpec(resize=resize, crop=crop, interpolation=interpolation, nvjpeg=True)
    data = files(9)
    pixels, good, short = decoded(data, device, spec)
    assert good.all() and not short.any() and pixels.shape == (9, crop, crop, 3) and pixels.dtype == np.uint8
    expected = np.stack([spec.apply(decode(file)) for file in data])
    error = np.abs(pixels.astype(int) - expected)
    assert error.mean() < (0.1 if device == "cpu" else 2) and np.array_equal(pixels == 0, expected == 0) or crop != 48
    assert error.max() <= (1 if device == "cpu" else 40)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone_as_pillow_does_it(orientation):
    file = encode(smooth(1, 61, 47), exif=exif(orientation), subsampling=0, quality=95)
    stored = torch.from_numpy(np.asarray(Image.open(io.BytesIO(file))).transpose(2, 0, 1).copy())
    np.testing.assert_array_equal(upright(stored, orientation).numpy().transpose(1, 2, 0), decode(file))
    pixels, good, _ = decoded([file], "cpu")
    assert good.all() and np.abs(pixels[0].astype(int) - SPEC.apply(decode(file))).max() <= 1


@pytest.mark.parametrize("device", DEVICES)
def test_bits_do_not_depend_on_the_neighbours(device):
    data = files(40)
    together = decoded(data, device)[0]
    backwards = decoded(data[::-1], device)[0][::-1]
    alone = np.concatenate([decoded([file], device)[0] for file in data])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, backwards)


@pytest.mark.parametrize("device", DEVICES)
def test_a_file_that_is_refused_costs_its_neighbours_nothing(device):
    data = files(12)
    expected = decoded(data, device)[0]
    table = data[5].index(b"\xff\xc4") + 5
    broken = data[5][:table] + b"\xff" * 16 + data[5][table + 16 :]  # more Huffman codes than there can be
    assert read_header(broken) == read_header(data[5])
    pixels, good, short = decoded([*data[:5], broken, *data[6:]], device)
    assert good.tolist() == [True] * 5 + [False] + [True] * 6 and not pixels[5].any() and not short.any()
    np.testing.assert_array_equal(pixels[good], expected[good])


def test_memory_that_runs_out_splits_the_call(monkeypatch):
    data = files(10)
    expected = decoded(data, "cpu")[0]
    decoder = NvjpegDecoder(SPEC, "cpu")
    really, calls = decoder.decoded, []

    def crowded(group):
        calls.append(len(group))
        if len(group) > 2 or data[7] in group:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return really(group)

    monkeypatch.setattr(decoder, "decoded", crowded)
    pixels, good, short = decoder.decode(data, [read_header(file) for file in data])
    assert np.flatnonzero(short).tolist() == [7] and np.array_equal(good, ~short) and max(calls) == 10
    np.testing.assert_array_equal(pixels[good], expected[good])


def test_a_call_is_bounded_by_its_pixels(monkeypatch):
    data = files(10)
    expected = decoded(data, "cpu")[0]
    monkeypatch.setattr(nvjpeg_decoder, "CALL_BYTES", 60_000)
    decoder = NvjpegDecoder(SPEC, "cpu")
    really, sizes = decoder.decoded, []

    def counted(group):
        images = really(group)
        sizes.append([image.numel() for image in images])
        return images

    monkeypatch.setattr(decoder, "decoded", counted)
    np.testing.assert_array_equal(decoder.decode(data, [read_header(file) for file in data])[0], expected)
    assert len(sizes) > 3 and all(sum(size) <= 60_000 or len(size) == 1 for size in sizes)


def test_absurd_sizes_are_not_for_the_device():
    decoder = NvjpegDecoder(SPEC, "cpu")
    assert decoder.accepts(JpegHeader(6000, 4000)) and not decoder.accepts(None)
    assert not decoder.accepts(JpegHeader(60_000, 4000)) and not decoder.accepts(JpegHeader(65_000, 1))


def test_check_says_what_is_missing(monkeypatch):
    with pytest.raises(
        DeviceError,
        match=r"nvJPEG for these features, which needs a CUDA device, and the network runs on cpu here; use",
    ):
        require_cuda("cpu")
    require_cuda("cuda:1")
    monkeypatch.setattr(nvjpeg_decoder, "NvjpegDecoder", lambda spec, device: NvjpegDecoder(spec, "cpu"))
    check_nvjpeg("cuda")  # libjpeg's pictures pass

    class Without:
        def __init__(self, spec, device):
            pass

        def decoded(self, data):
            raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support\nException raised from")

    monkeypatch.setattr(nvjpeg_decoder, "NvjpegDecoder", Without)
    with pytest.raises(
        DeviceError, match=r"does not work on cuda \(decode.* nvJPEG support\); extract without `nvjpeg`"
    ):
        check_nvjpeg("cuda")
    Without.decoded = lambda self, data: [torch.zeros((3, 120, 200), dtype=torch.uint8)] * len(data)
    with pytest.raises(DeviceError, match=r"gives other pictures than Pillow, \d\d+ grey levels off on average"):
        check_nvjpeg("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_this_device_decodes():
    check_nvjpeg("cuda")
