"""Magic bytes decide what a file is."""

import pytest

from featstore.images import formats
from tests.support.pictures import encode, texture


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
        (b"version https://git-lfs.github.com", "Git LFS pointer"),
        (b"\x01\x02\xff", "unknown bytes 01 02 ff"),
    ],
)
def test_foreign_bytes_are_described(head, description):
    assert formats.describe(head) == description
