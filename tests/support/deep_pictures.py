"""Pictures with 16 bits a sample, written here byte by byte: Pillow writes none in colour."""

import struct
import zlib

import numpy as np

from tests.support.pictures import png, png_chunk, tiff


def deep_png(samples: np.ndarray, interlaced: bool = False) -> bytes:
    """`samples` of shape (h, w, c), uint16; c is 1 (grey), 2 (with alpha), 3 (colour) or 4."""
    height, width, channels = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:  # Adam7: first column and row, steps
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, dx, dy in passes:
        part = samples[y::dy, x::dx]
        if part.size:
            rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    data = png(width, height, rows, depth=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels])
    if interlaced:
        head = data[16:28] + b"\1"
        data = data[:8] + png_chunk(b"IHDR", head) + data[33:]
    return data


def deep_tiff(samples: np.ndarray, order: str = "<", packed: bool = False, planes: bool = False) -> bytes:
    """`samples` of shape (h, w, 3), uint16; `packed` by deflate, which libtiff reads; `planes`: band after band."""
    height, width, _ = samples.shape
    raw = (samples.transpose(2, 0, 1) if planes else samples).astype(f"{order}u2").tobytes()
    strips = [raw[i : i + len(raw) // 3] for i in range(0, len(raw), len(raw) // 3)] if planes else [raw]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    base = 8 + 2 + 12 * 10 + 4
    n, at = len(strips), base + 6 + 8 * len(strips)
    offsets = [at + sum(map(len, strips[:i])) for i in range(n)]
    tags = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 3, base), 259: (3, 1, 8 if packed else 1), 262: (3, 1, 2),
        273: (4, n, offsets[0] if n == 1 else base + 6), 277: (3, 1, 3), 278: (4, 1, height),
        279: (4, n, len(strips[0]) if n == 1 else base + 6 + 4 * n), 284: (3, 1, 2 if planes else 1),
    }  # fmt: skip
    tail = struct.pack("<3H", 16, 16, 16) + struct.pack(f"<{n}I", *offsets)
    tail += struct.pack(f"<{n}I", *map(len, strips)) + b"".join(strips)
    if order == "<":
        return tiff(tags, tail)
    body = b""
    for tag, (kind, count, value) in sorted(tags.items()):
        inline = struct.pack(">HH", value, 0) if kind == 3 and count == 1 else struct.pack(">I", value)
        body += struct.pack(">HHI", tag, kind, count) + inline
    tail = struct.pack(">3H", 16, 16, 16) + struct.pack(f">{n}I", *offsets)
    tail += struct.pack(f">{n}I", *map(len, strips)) + b"".join(strips)
    return b"MM\0*" + struct.pack(">IH", 8, len(tags)) + body + bytes(4) + tail
