"""Files that people take for lists and that are none: what they are, and the way out."""

from __future__ import annotations

import re

from featstore.images.formats import sniff

_AS_CSV = "save the sheet as CSV UTF-8"
_EXPORT = "export the table as CSV"
_UNPACK = "unpack it and name the list"

_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK\x03\x04.*xl/(workbook|worksheets)", "an Excel workbook", _AS_CSV),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument", "an OpenDocument file", _AS_CSV),
    (rb"PK\x03\x04.{26}[^/]{1,200}\.npy", "a NumPy archive", "write path and label of each image as CSV"),
    (rb"PK\x03\x04", "a zip archive", _UNPACK),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook or document of an old Microsoft Office", _AS_CSV),
    (rb"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (rb"\x80[\x02-\x05]", "a pickle, which could run code when opened", "write the table as CSV (DataFrame.to_csv)"),
    (rb"\x93NUMPY", "a NumPy array", "write path and label of each image as CSV"),
    (rb"\x89HDF\r\n\x1a\n|.{512}\x89HDF\r\n\x1a\n", "an HDF5 file", _EXPORT),
    (rb"MATLAB 5\.0 MAT-file", "a MATLAB file", _EXPORT),
    (rb"BZh[1-9]1AY&SY", "a bzip2 file", _UNPACK),
    (rb"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"ORC.*\x00", "an ORC file", _EXPORT),
    (rb"FEA1", "a Feather file of the old version 1", "write it as Parquet or CSV"),
    (rb"Obj\x01", "an Avro file", _EXPORT),
    (rb"%PDF-", "a PDF document", "copy the table into a CSV"),
    (rb"\{\\rtf", "a rich text document", "save it as plain text"),
    (rb"version https://git-lfs", "a pointer of Git LFS and not the list itself", "fetch it with git lfs pull"),
    (rb"\s*<(!doctype\s+html|html|head|body)", "a web page", "download the list itself"),
    (rb"\s*(<\?xml|<annotation)", "an XML document", "write path and label of each image as CSV"),
)
_PATTERNS = tuple((re.compile(magic, re.DOTALL | re.IGNORECASE), what, out) for magic, what, out in _KINDS)


def foreign(content: bytes) -> tuple[str, str] | None:
    """What a file is that is no list, and what to do; None where it may be a list.

    Parameters
    ----------
    content : bytes

    Examples
    --------
    >>> foreign(b"SQLite format 3\\0...")
    ('an SQLite database', 'export the table as CSV')
    >>> foreign(b"path,label")
    """
    for pattern, what, out in _PATTERNS:
        if pattern.match(content.removeprefix(b"\xef\xbb\xbf")):
            return what, out
    kind = sniff(content[:64])
    if kind and (kind not in ("PPM", "BMP") or b"\0" in content):
        return f"a picture ({kind})", "name the list of the pictures, or the folder that they are in"
    return None
