"""Magic bytes decide what a file is."""

import io

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings, strategies as st
from PIL import Image

from featstore.images import formats
from tests.support.deep_pictures import deep_png, deep_tiff
from tests.support.pictures import encode, texture, tiff


@pytest.mark.parametrize(
    ("pillow_name", "name"),
    [
        ("JPEG", "JPEG"),
        ("MPO", "JPEG"),
        ("PNG", "PNG"),
        ("WEBP", "WebP"),
        ("BMP", "BMP"),
        ("GIF", "GIF"),
        ("TIFF", "TIFF"),
        ("PPM", "PPM"),
    ],
)
def test_what_pillow_writes_is_recognised(pillow_name, name):
    assert formats.sniff(encode(texture(), pillow_name)[: formats.HEAD_BYTES]) == name
    assert name in formats.FORMATS


@pytest.mark.parametrize(
    "head", [b"", b"BM is short for something, and this is no bitmap", b"P9 ", b"P6x", b"RIFF\0\0\0\0WAVE", b"II*"]
)
def test_what_only_looks_alike_is_not(head):
    assert formats.sniff(head) is None


@pytest.mark.parametrize(
    ("head", "description"),
    [
        (b"", "an empty file"),
        (bytes(64), "zero bytes"),
        (b"path,label\n", "text"),
        (b"\n <!doctype HTML><html>", "HTML"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg>", "SVG"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"version https://git-lfs.github.com", "Git LFS pointer"),
        (bytes(128) + b"DICM\x02\0", "DICOM"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "HEIF of an unknown kind"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01", "a raw camera file (CR3)"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "QuickTime video"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "MP4 video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"<!-- Generator: Ink -->\n<!DOCTYPE svg PUBLIC '-//W3C' 'x' [<!ENTITY a 'b'>]>\n<svg/>", "SVG"),
        (b"<?xml version='1.0'?><svg:svg xmlns:svg='x'/>", "SVG"),
        (b"<?xml version='1.0'?><annotation/>", "XML"),
        (b"<!-- " + b"long" * 400, "XML"),
        (b"<html><body>404", "HTML"),
        (b'{"images": []}', "JSON"),
        (b"[1, 2]", "JSON"),
        ("größe;breite\n".encode(), "text"),
        ("\ufeffname".encode("utf-16"), "text"),
        ("ü".encode() * 512, "text"),
        (("a" + "ü" * 512).encode()[:1024], "text"),
        (bytes(344) + b"n+1\0", "NIfTI"),
        (b"\x89HDF\r\n\x1a\n" + bytes(8), "HDF5"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file (.mat)"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "TIFF"),
        (b"FUJIFILMCCD-RAW 0201", "a raw camera file (RAF)"),
        (b"PK\x03\x04" + bytes(60), "ZIP"),
        (b"\x80\x04\x95\x0b\0\0\0", "a Python pickle"),
        (b"\x01\x02\xff", "unknown bytes 01 02 ff"),
    ],
)
def test_foreign_bytes_are_described(head, description):
    assert formats.describe(head) == description


def test_files_of_numpy_and_matlab_are_named():
    arrays, array = io.BytesIO(), io.BytesIO()
    np.savez(arrays, x=np.zeros(9))
    np.save(array, np.zeros(9))
    assert formats.describe(arrays.getvalue()[: formats.HEAD_BYTES]) == "NumPy arrays (.npz)"
    assert formats.describe(array.getvalue()[: formats.HEAD_BYTES]) == "a NumPy array (.npy)"
    matlab = io.BytesIO()
    scipy.io.savemat(matlab, {"x": np.zeros(9)})
    assert formats.describe(matlab.getvalue()[: formats.HEAD_BYTES]) == "a MATLAB file (.mat)"


@pytest.mark.parametrize("name", ["AVIF", "JPEG2000"])
def test_later_formats_are_recognised_as_pillow_writes_them(name):
    try:
        data = encode(texture(), name)
    except (OSError, KeyError) as error:
        pytest.skip(f"no encoder here: {error}")
    assert formats.sniff(data[: formats.HEAD_BYTES]) == name.replace("JPEG2000", "JPEG 2000")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encode(texture()), "JPEG"),
        (encode(texture(), "PNG"), "PNG"),
        (encode(texture()[..., 0], "PNG"), "PNG"),
        (encode(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"), "PNG 16-bit grey"),
        (deep_png(np.zeros((4, 4, 3), np.uint16)), "PNG 16-bit colour"),
        (encode(Image.new("P", (4, 4)).quantize(2), "PNG", bits=1), "PNG 1-bit palette"),
        (encode(Image.fromarray(np.zeros((4, 4), np.uint16)), "TIFF"), "TIFF 16-bit grey"),
        (deep_tiff(np.zeros((4, 4, 3), np.uint16)), "TIFF 16-bit colour"),
        (tiff({256: (4, 1, 8), 258: (3, 1, 16), 277: (3, 1, 13)}), "TIFF 16-bit 13 bands"),
        (tiff({256: (4, 1, 8), 258: (3, 1, 8), 50706: (1, 4, 1)}), "TIFF (a DNG raw camera file)"),
        (b"II*\0\0\0\1\0", "TIFF"),
        (b"P6\n# made\n4 4\n65535\n", "PPM 16-bit colour"),
        (b"P5 4 4 255\n", "PPM"),
        (b"P4 4 4\n", "PPM"),
        (b"path,label\n", "text"),
        (b"", "an empty file"),
    ],
)
def test_kind_tells_the_depth_that_is_not_usual(data, kind):
    assert formats.kind(data[: formats.HEAD_BYTES]) == kind


@settings(max_examples=300, deadline=1000)
@given(
    head=st.one_of(
        st.binary(max_size=1024),
        st.builds(bytes.__add__, st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"P5", b"<", b"\0\0\0\x20ftyp"]),
                  st.binary(max_size=200)),
        st.text("<!-?>[] \n#doctypesvg{\"", max_size=1024).map(str.encode),
    )
)  # fmt: skip
def test_any_bytes_have_a_name(head):
    assert formats.kind(head) and formats.describe(head)
    name = formats.sniff(head)
    assert name is None or name in formats.FORMATS
