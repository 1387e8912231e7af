"""Which file format some bytes are. Magic bytes decide, never the extension."""

from __future__ import annotations

import re

from featstore.images.tiff_directory import TiffDirectory

FORMATS = ("JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIC", "JPEG 2000")
"""The formats that are decoded, where the decoder is installed; JPEG includes MPO, PPM includes PBM, PGM and PFM."""

EXTENSIONS = frozenset(
    (b".jpg", b".jpeg", b".jpe", b".jfif", b".mpo", b".png", b".apng", b".webp", b".bmp", b".dib", b".gif")
    + (b".tif", b".tiff", b".ppm", b".pgm", b".pbm", b".pnm", b".pfm", b".avif", b".avifs")
    + (b".heic", b".heics", b".heif", b".hif", b".jp2", b".j2k", b".j2c", b".jpc", b".jpf", b".jpx")
)
"""File name endings, in lower case, that promise one of `FORMATS`."""

HEAD_BYTES = 1024
"""How many first bytes of a file `sniff`, `describe` and `kind` want."""

_MAGIC = re.compile(
    rb"""
      (?P<JPEG>\xff\xd8\xff)
    | (?P<PNG>\x89PNG\r\n\x1a\n)
    | (?P<WebP>RIFF....WEBP)
    | (?P<GIF>GIF8[79]a)
    | (?P<TIFF>II[\x2a\x2b]\x00|MM\x00[\x2a\x2b])
    | (?P<PPM>P[1-6f][\ \t\r\n\v\f\#])
    | (?P<BMP>BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00)
    | (?P<JPEG_2000>\x00\x00\x00\x0cjP\x20\x20|\xff\x4f\xff\x51)
    | (?P<ftyp>....ftyp)
    """,
    re.VERBOSE | re.DOTALL,
)

_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))

_FOREIGN = (
    (rb"\x00\x00\x00\x0cJXL\x20|\xff\x0a", "JPEG XL"),
    (rb".{128}DICM", "DICOM"),
    (rb"8BPS", "PSD"),
    (rb"\x00\x00\x01\x00.\x00", "ICO"),
    (rb"%PDF-", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb"\#\?(?:RADIANCE|RGBE)", "Radiance HDR"),
    (rb"SIMPLE\x20\x20=", "FITS"),
    (rb"DDS\x20", "DDS"),
    (rb"qoif", "QOI"),
    (rb"gimp\x20xcf", "XCF"),
    (rb"AT&TFORM", "DjVu"),
    (rb"FUJIFILMCCD-RAW", "a raw camera file (RAF)"),
    (rb"IIU\x00", "a raw camera file (RW2)"),
    (rb"IIR[OS]|MMOR", "a raw camera file (ORF)"),
    (rb"FOVb", "a raw camera file (X3F)"),
    (rb"\x00MRM", "a raw camera file (MRW)"),
    (rb"\x93NUMPY", "a NumPy array (.npy)"),
    (rb"PK\x03\x04.{22}[^\x00].{3}[^\x00]{1,200}?\.npy", "NumPy arrays (.npz)"),
    (rb"PK\x03\x04|PK\x05\x06", "ZIP"),
    (rb"MATLAB\x20[57]\.", "a MATLAB file (.mat)"),
    (rb"\x89HDF\r\n\x1a\n", "HDF5"),
    (rb".{344}(?:n\+1|ni1)\x00|.{4}(?:n\+2|ni2)\x00", "NIfTI"),
    (rb"NRRD000", "NRRD"),
    (rb"PAR1", "Parquet"),
    (rb"SQLite\x20format\x203", "SQLite"),
    (rb"\x1f\x8b", "gzip"),
    (rb".{257}ustar", "tar"),
    (rb"7z\xbc\xaf\x27\x1c", "7z"),
    (rb"Rar!\x1a\x07", "RAR"),
    (rb"BZh[1-9]1AY", "bzip2"),
    (rb"\xfd7zXZ\x00", "xz"),
    (rb"\x28\xb5\x2f\xfd", "Zstandard"),
    (rb"RIFF....AVI\x20", "AVI video"),
    (rb"RIFF....WAVE", "WAV sound"),
    (rb"\x1a\x45\xdf\xa3", "Matroska or WebM video"),
    (rb"\x00\x00\x01[\xb3\xba]", "MPEG video"),
    (rb"....(?:moov|mdat|wide)", "QuickTime video"),
    (rb"OggS", "Ogg"),
    (rb"ID3|\xff\xfb", "MP3 sound"),
    (rb"\x80[\x02-\x05][\x95c}\](]", "a Python pickle"),
    (rb"\x00\x05\x16\x07", "an AppleDouble file of macOS"),
    (rb"\x00\x00\x00\x01Bud1", "a .DS_Store file of macOS"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file (Thumbs.db, old Office)"),
    (rb"\x7fELF|MZ.{58}\x00\x00", "a program"),
    (rb"version\x20https://git-lfs", "Git LFS pointer"),
)
_FOREIGN_MAGIC = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _FOREIGN)

_BEFORE_ROOT = re.compile(
    r"\s+|<\?.*?\?>|<!--.*?-->|<!doctype\s+(?P<type>[\w:.-]+)[^\[>]*(?:\[[^\]]*\])?[^>]*>", re.S | re.I
)
_ROOT = re.compile(r"<(?:[\w.-]+:)?(?P<name>[a-z][\w.-]*)", re.I)
_JSON = re.compile(r"\{\s*(?:\"|\}|$)|\[\s*(?:[\"\[{\]\d-]|true|false|null|$)")
_PPM = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
_PAGE = ("html", "head", "body", "script")


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

    Examples
    --------
    >>> sniff(b"GIF89a"), sniff(b"\\0\\0\\0\\x1cftypmif1\\0\\0\\0\\0mif1avifmiaf"), sniff(b"hello")
    ('GIF', 'AVIF', None)
    """
    match = _MAGIC.match(head)
    if match is None:
        return None
    if match.lastgroup == "ftyp":
        brand = _brand(head)
        return brand if brand in FORMATS else None
    return "JPEG 2000" if match.lastgroup == "JPEG_2000" else match.lastgroup


def describe(head: bytes) -> str:
    """Say what bytes seem to be, for a message; they are mostly some that `sniff` does not know.

    Parameters
    ----------
    head : bytes
        As for `sniff`.

    Examples
    --------
    >>> describe(bytes(128) + b"DICM"), describe(b"<!-- drawn by hand --><svg>"), describe(b'{"a": 1}')
    ('DICOM', 'SVG', 'JSON')
    """
    if not head:
        return "an empty file"
    if known := sniff(head):
        return known
    if head[4:8] == b"ftyp":
        return _brand(head)
    for magic, name in _FOREIGN_MAGIC:
        if magic.match(head):
            return name
    if not head.strip(b"\0"):
        return "zero bytes"
    text = _text(head)
    return f"unknown bytes {head[:8].hex(' ')}" if text is None else _document(text)


def kind(head: bytes) -> str:
    """The format, and the depth where it is not 8 bits, as a data set's images are counted: "PNG 16-bit grey".

    It takes about a microsecond for a JPEG and a few for the others. What stands beyond the head is not said: of a TIFF
    whose directory lies at its end the depth.

    Parameters
    ----------
    head : bytes
        As for `sniff`; more is not looked at.

    Returns
    -------
    str
        What `describe` says where it is none of `FORMATS`.

    Examples
    --------
    >>> kind(b"\\xff\\xd8\\xff\\xe0"), kind(b"P5 640 480 4095 ")
    ('JPEG', 'PPM 12-bit grey')
    """
    name = sniff(head)
    if name == "PNG" and len(head) >= 26 and head[12:16] == b"IHDR":
        return _deep(name, head[24], "palette" if head[25] == 3 else "colour" if head[25] & 2 else "grey")
    if name == "TIFF":
        directory = TiffDirectory.first(head[:HEAD_BYTES])
        if directory is not None and directory.camera:
            return f"TIFF ({directory.camera})"
        if directory is None or not directory.bits:
            return name
        samples = len(directory.bits) if directory.samples is None else directory.samples
        return _deep(
            name, directory.bits[0], "grey" if samples < 3 else "colour" if samples < 5 else f"{samples} bands"
        )
    if name == "PPM" and (found := _PPM.match(head[:HEAD_BYTES])):
        return _deep(name, int(found[4]).bit_length(), "grey" if found[1] in b"25" else "colour")
    return name or describe(head)


def _deep(name: str, depth: int, what: str) -> str:
    if "bands" in what:
        return f"{name} {depth}-bit {what}"
    return name if depth == 8 else f"{name} {depth}-bit {what}"


def _brand(head: bytes) -> str:
    """What an ISO base media file is, by its own brand and those that it says to be compatible with."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    own = head[8:12]
    brands = [own] + [head[at : at + 4] for at in range(16, max(size, 12) - 3, 4)]
    if own in _AVIF or own in _HEIC:
        brands = [own]
    if not _AVIF.isdisjoint(brands):
        return "AVIF"
    if not _HEIC.isdisjoint(brands):
        return "HEIC"
    if own in (b"mif1", b"msf1", b"mif2"):
        return "HEIF of an unknown kind"
    if own == b"crx ":
        return "a raw camera file (CR3)"
    return "QuickTime video" if own == b"qt  " else "MP4 video"


def _text(head: bytes) -> str | None:
    """The head as text, without a byte order mark; None where it is none."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[: len(head) & ~1].decode("utf-16", "replace")
    else:
        whole = head.removeprefix(b"\xef\xbb\xbf")
        try:
            text = whole.decode("utf-8")
        except UnicodeDecodeError as error:
            if len(head) < HEAD_BYTES or error.start < len(whole) - 4:
                return None
            text = whole[: error.start].decode("utf-8")  # a letter that the end of the head cuts
    return None if any(ord(letter) < 32 and letter not in "\t\n\f\r" for letter in text) else text


def _document(text: str) -> str:
    """What kind of text it is: the root element decides, behind declarations and comments."""
    at, declared = 0, ""
    while found := _BEFORE_ROOT.match(text, at):
        at, declared = found.end(), declared or (found["type"] or "").lower()
    root = _ROOT.match(text, at)
    name = root["name"].lower() if root else declared
    if name == "svg":
        return "SVG"
    if name in _PAGE:
        return "HTML"
    if root or text.lstrip()[:5].lower() in ("<?xml", "<!doc") or text.lstrip()[:4] == "<!--":
        return "XML"
    return "JSON" if _JSON.match(text, at) else "text"
