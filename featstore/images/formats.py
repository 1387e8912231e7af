"""Which file format some bytes are. Magic bytes decide, never the extension."""

import re

FORMATS = ("JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "PPM")
"""The formats that are decoded; JPEG includes MPO, PPM includes PBM, PGM and PFM."""

EXTENSIONS = frozenset(
    (
        b".jpg",
        b".jpeg",
        b".jpe",
        b".jfif",
        b".mpo",
        b".png",
        b".apng",
        b".webp",
        b".bmp",
        b".dib",
        b".gif",
        b".tif",
        b".tiff",
    )
    + (b".ppm", b".pgm", b".pbm", b".pnm", b".pfm")
)
"""File name endings, in lower case, that promise one of `FORMATS`."""

HEAD_BYTES = 64
"""How many first bytes of a file `sniff` and `describe` want."""

_MAGIC = re.compile(
    rb"""
      (?P<JPEG>\xff\xd8\xff)
    | (?P<PNG>\x89PNG\r\n\x1a\n)
    | (?P<WebP>RIFF....WEBP)
    | (?P<GIF>GIF8[79]a)
    | (?P<TIFF>II[\x2a\x2b]\x00|MM\x00[\x2a\x2b])
    | (?P<PPM>P[1-6f][\ \t\r\n\v\f\#])
    | (?P<BMP>BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00)
    """,
    re.VERBOSE | re.DOTALL,
)

_FOREIGN = re.compile(
    rb"""
      (?P<HEIC>....ftyp(?:hei|hev|mif1|msf1))
    | (?P<AVIF>....ftypavi[fs])
    | (?P<JPEG_2000>\x00\x00\x00\x0cjP\x20\x20|\xff\x4f\xff\x51)
    | (?P<JPEG_XL>\x00\x00\x00\x0cJXL\x20|\xff\x0a)
    | (?P<PSD>8BPS)
    | (?P<ICO>\x00\x00\x01\x00.\x00)
    | (?P<PDF>%PDF-)
    | (?P<SVG>[\s\xef\xbb\xbf]*(?:<\?xml[^>]*>\s*)?<svg)
    | (?P<HTML>[\s\xef\xbb\xbf]*<(?:!doctype\s+html|html|head|body|script))
    | (?P<ZIP>PK\x03\x04)
    | (?P<gzip>\x1f\x8b)
    | (?P<Git_LFS_pointer>version\ https://git-lfs)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def sniff(head: bytes) -> str | None:
    """Name the format that the first bytes of a file announce.

    Parameters
    ----------
    head : bytes
        At least the first `HEAD_BYTES` bytes, or the whole file where it is shorter.

    Returns
    -------
    str or None
        One of `FORMATS`; None where it is none of them.
    """
    match = _MAGIC.match(head)
    return match.lastgroup if match else None


def describe(head: bytes) -> str:
    """Say what bytes that `sniff` does not know seem to be, for a message.

    Parameters
    ----------
    head : bytes
        As for `sniff`.
    """
    if not head:
        return "an empty file"
    match = _FOREIGN.match(head)
    if match and match.lastgroup:
        return match.lastgroup.replace("_", " ")
    if not head.strip(b"\0"):
        return "zero bytes"
    if all(byte in b"\t\n\f\r" or 32 <= byte < 127 for byte in head):
        return "text"
    return f"unknown bytes {head[:8].hex(' ')}"
