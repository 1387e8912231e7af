"""Member: one entry of an archive, its name made harmless; no notion of what its bytes are."""

from __future__ import annotations

import re
from typing import NamedTuple

_DRIVE = re.compile(rb"[A-Za-z]:/")

HEAD_BYTES = 512
"""How many first bytes of a member can be asked for."""


class Member(NamedTuple):
    """An entry of an archive.

    Attributes
    ----------
    name : bytes
        With `/` between folders, relative, without `.` and `..`; as the archive has it where `reason` says what is
        wrong with it.
    size : int
        Bytes as unpacked.
    record : bytes
        Its address without the archive's path at the end; b"" where there is nothing to read.
    head : bytes
        Its first bytes where they were asked for.
    reason : str
        Why it cannot be read; "" for a file and for a folder.
    folder : bool
        Whether it is a folder.

    Examples
    --------
    >>> Member(b"cats/1.jpg", 900, b"", b"", "a symbolic link").reason
    'a symbolic link'
    """

    name: bytes
    size: int
    record: bytes
    head: bytes = b""
    reason: str = ""
    folder: bool = False


def harmless(name: bytes) -> tuple[bytes, str]:
    """Bring a name to one spelling, or say why it is not used.

    Returns
    -------
    name : bytes
        Without `.`, without doubled and last slashes; b"" for the archive's own folder.
    reason : str
        "" where it stays inside of the archive.

    Examples
    --------
    >>> harmless(b"./cats//1.jpg"), harmless(b"../../etc/passwd")
    ((b'cats/1.jpg', ''), (b'../../etc/passwd', 'its name leads out of the archive'))
    """
    if b"\0" in name:
        return name.replace(b"\0", b"?"), "its name holds a zero byte"
    if name[:1] == b"/" or _DRIVE.match(name):
        return name, "its name is absolute: it leads out of the archive"
    if name[:1] != b"." and b"/." not in name and b"//" not in name and name[-1:] != b"/":
        return name, ""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        return name, "its name leads out of the archive"
    return b"/".join(parts), ""
