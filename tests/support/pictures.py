"""Small real pictures, and files that are none: made here, from seeds, so that no test needs a data set."""

import functools
import io
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def texture(seed: int = 0, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture with edges, gradients and grain: ndarray of shape (height, width, 3), uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 16.0
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-2, 2, size=(3, 3))]
    edge = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) > 0)[..., None]
    picture = 128 + 70 * np.stack(waves, axis=-1) + 40 * edge + rng.normal(0, 6, size=(height, width, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


def encode(picture: np.ndarray | Image.Image, format: str = "JPEG", **options: object) -> bytes:
    """A picture as the bytes of a file, written by Pillow."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block with nothing but an orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def write_tree(
    root: Path, classes: Sequence[str] = ("ants", "bees"), each: int = 4, splits: Sequence[str] = ("",), seed: int = 0
) -> Path:
    """An image folder of small JPEGs, all different: `root/[split/]class/NNN.jpg`."""
    number = seed
    for split in splits:
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(each):
                number += 1
                (folder / f"{i:03d}.jpg").write_bytes(encode(texture(number, 40 + number % 9, 32 + number % 7)))
    return root


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG from its parts; `data` is compressed as it is, whatever the header promises."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(entries: Mapping[int, tuple[int, int, int]], data: bytes = b"") -> bytes:
    """A little-endian TIFF: tag -> (type, count, value), then `data` at offset 8 + 2 + 12 a tag + 4."""
    body = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0) + data


def gif(width: int, height: int, frames: bytes) -> bytes:
    """A GIF with a two-colour palette from its parts."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frames + b";"


@functools.cache
def hostile() -> dict[str, bytes]:
    """Files that look like images and are broken, absurd or bombs: name -> bytes. Every one must be refused."""
    jpeg, good = encode(texture(1)), encode(texture(2), "PNG")
    webp, tif = encode(texture(3), "WEBP"), encode(texture(4), "TIFF")
    tags = {256: (4, 1, 8), 257: (4, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 200)}
    tags |= {277: (3, 1, 1), 278: (4, 1, 8), 279: (4, 1, 64)}
    return {
        "empty.jpg": b"",
        "one_byte.jpg": b"\xff",
        "zeros.jpg": bytes(4096),
        "text.jpg": b"This is not a picture.\n" * 20,
        "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "vector.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "program.png": b"\x7fELF" + bytes(200),
        "archive.jpg": b"PK\x03\x04" + bytes(100),
        "document.jpg": b"%PDF-1.7\n" + bytes(100),
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "photo.heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "photo.avif": b"\0\0\0\x18ftypavif" + bytes(100),
        "icon.ico": b"\0\0\1\0\1\0\xff\xff\0\0\1\0\x20\0" + bytes(40),
        "head_only.jpg": jpeg[:3],
        "no_data.jpg": jpeg[: jpeg.index(b"\xff\xda")],
        "half.jpg": jpeg[: len(jpeg) // 2],
        "no_end.jpg": jpeg[:-20],
        "huge.jpg": jpeg.replace(b"\0\x30\0\x40", b"\xff\xff\xff\xff", 1),
        "flat.jpg": jpeg.replace(b"\0\x30\0\x40", b"\0\0\0\x40", 1),
        "noise.jpg": b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(3000),
        "head_only.png": good[:8],
        "half.png": good[: len(good) // 2],
        "no_header.png": good[:8] + png_chunk(b"IDAT", zlib.compress(bytes(100))),
        "huge.png": png(2**31 - 1, 2**31 - 1, bytes(100)),
        "huge_wide.png": png(2**31 - 1, 1, bytes(100)),
        "none.png": png(0, 0, b""),
        "short_data.png": png(64, 64, bytes(100)),
        "bad_depth.png": png(8, 8, bytes(200), depth=7),
        "bad_colour.png": png(8, 8, bytes(200), colour=5),
        "bad_checksum.png": good[:30] + bytes([good[30] ^ 1]) + good[31:],
        "huge.gif": gif(65535, 65535, b",\0\0\0\0\xff\xff\xff\xff\0\2\2L\1\0"),
        "huge_frame.gif": gif(4, 4, b",\0\0\0\0\xff\xff\xff\xff\0\2\2L\1\0"),
        "no_frame.gif": gif(8, 8, b""),
        "bad_code.gif": gif(8, 8, b",\0\0\0\0\x08\0\x08\0\0\x20\2\xff\xff\0"),
        "half.webp": webp[: len(webp) // 2],
        "head_only.webp": webp[:16],
        "huge.webp": b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(40),
        "half.tif": tif[: len(tif) // 2],
        "head_only.tif": b"II*\0\xff\xff\xff\x7f",
        "no_tags.tif": tiff({}),
        "huge.tif": tiff(tags | {256: (4, 1, 2**31 - 1), 257: (4, 1, 2**31 - 1)}, bytes(200)),
        "many_samples.tif": tiff(tags | {277: (3, 1, 65535)}, bytes(200)),
        "far_strip.tif": tiff(tags | {273: (4, 1, 2**31)}, bytes(200)),
        "odd_bits.tif": tiff(tags | {258: (3, 1, 77)}, bytes(200)),
        "unknown_compression.tif": tiff(tags | {259: (3, 1, 60000)}, bytes(200)),
        "huge.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 100000, 100000, 1, 24, 0, 0, 0, 0, 0, 0),
        "half.bmp": encode(texture(5), "BMP")[:2000],
        "bad_depth.bmp": b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 4, 4, 1, 31, 0, 0, 0, 0, 0, 0)
        + bytes(99),
        "huge.ppm": b"P6\n999999 999999\n255\n" + bytes(100),
        "half.ppm": encode(texture(6), "PPM")[:500],
        "words.ppm": b"P3\nwide high\n255\n",
        "no_maximum.pgm": b"P5\n4 4\n0\n" + bytes(16),
    }


def lock_folders(monkeypatch, ending):
    """Folders whose path has this ending (bytes) cannot be listed, whoever runs the tests."""
    scandir = os.scandir

    def locked(path):
        if os.fsencode(path).endswith(ending):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
