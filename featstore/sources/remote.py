"""Files behind addresses on the network: downloaded once, checked, and kept in the user's cache.

What was downloaded lies in a folder of its own in the cache, named by its address, with a record of address and hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError

from featstore.errors import DownloadError
from featstore.system.download import receive
from featstore.system.reporting import StageProgress, printable_path
from featstore.system.user_cache import cache_folder, write_entry

FOLDER = "downloads"
"""Of the user's cache folder."""

_SPARE = 1 << 28
"""Bytes of the disk that a download leaves free."""
_PROMISE = re.compile(r"-([0-9a-f]{8,64})\.[^-]*$")
"""The hash in a file's name, as torch writes it: `resnet18-f37072fd.pth`."""


@dataclass(frozen=True)
class Download:
    """A file that was downloaded.

    Attributes
    ----------
    url : str
        Without the part behind `#`.
    path : Path
    sha256 : str
        64 hexadecimal digits.
    """

    url: str
    path: Path
    sha256: str


def is_url(text: str) -> bool:
    """Whether a text is an address on the network, or meant as one.

    Examples
    --------
    >>> is_url("https://example.org/pets.tar.gz"), is_url("C:/pets.tar.gz"), is_url("pets.tar.gz")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def promises_hash(url: str) -> bool:
    """Whether an address tells the hash of its file, so that `fetched` checks it.

    Examples
    --------
    >>> promises_hash("https://example.org/x-f37072fd.pth"), promises_hash("https://example.org/x-20240131.zip")
    (True, False)
    """
    return _parts(url)[2]


def fetched(url: str, progress: StageProgress | None = None, *, timeout: float = 10.0) -> Path:
    """The file behind an address: downloaded, or from the cache where it was downloaded before.

    Parameters
    ----------
    url : str
        http or https. The hash of the file may stand behind it, as `URL#sha256=HEX`, or in its name, as
        `x-0123abcd.pth`: the first 8 hexadecimal digits or more. Then it is checked.
    progress : callable, optional
        Called with the bytes done and the bytes in all while downloading.
    timeout : float
        Seconds that the server may stay silent.

    Returns
    -------
    Path
        In a folder of its own in the user's cache, under the name in the address. `download_of` tells its hash.

    Raises
    ------
    DownloadError
        Another scheme, a server that cannot be reached or sends a web page, too few or too many bytes or others than
        the hash promises. Nothing is kept.
    """
    address, promised, certain = _parts(url)
    folder = cache_folder() / FOLDER / hashlib.sha256(address.encode()).hexdigest()[:32]
    path = folder / _name(address)
    known = download_of(path)
    if known is not None and (known.sha256.startswith(promised) or not certain):
        return path
    try:
        digest = _download(address, path, promised if certain else "", timeout, progress)
    except HTTPError as error:
        said = f"{error.code} {str(error.reason).strip().splitlines()[0]}" if error.reason else str(error.code)
        raise DownloadError(f"{url} cannot be fetched: the server says {said}{_why(error.code)}") from error
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(
            f"{url} cannot be fetched ({getattr(error, 'reason', error)}); check the address and the connection, or "
            f"download it otherwise and give the file"
        ) from error
    _record(path, address, digest)
    return path


def download_of(path: Path) -> Download | None:
    """What is known about a file that `fetched` gave; None for others, and for one that has changed since.

    Examples
    --------
    >>> download_of(Path("pets.tar.gz")) is None
    True
    """
    try:
        record = json.loads(_record_of(path).read_bytes())
        status = path.stat()
        if [status.st_size, status.st_mtime_ns] != record["file"] or not re.fullmatch("[0-9a-f]{64}", record["sha256"]):
            return None
        return Download(str(record["url"]), path, record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parts(url: str) -> tuple[str, str, bool]:
    """The address to ask for, the hash that it promises, and whether that is surely a hash."""
    shown = printable_path(url.encode("utf-8", "surrogatepass"))
    address, _, fragment = url.partition("#")
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.hostname
    except ValueError as error:
        raise DownloadError(f"{shown} is no address: {error}") from error
    if parts.scheme.lower() not in ("http", "https"):
        raise DownloadError(
            f"{shown} is an address of {parts.scheme}; expected one that begins with https:// or http://"
        )
    if not host or re.search(r"[\x00-\x20\x7f]", address):
        raise DownloadError(f"{shown} is no address: it lacks the name of a server, or holds a space")
    address = urllib.parse.quote(address, safe="%/:=&?~#+!$,;'@()*[]")
    if fragment.lower().startswith("sha256="):
        promised = fragment[7:].lower()
        if not re.fullmatch("[0-9a-f]{8,64}", promised):
            raise DownloadError(
                f"{shown} promises {promised!r}, which is no SHA-256; expected 8 to 64 hexadecimal digits"
            )
        return address, promised, True
    if found := _PROMISE.search(_name(address)):
        return address, found[1], not found[1].isdecimal()  # what is all digits may be a date
    return address, "", False


def _name(address: str) -> str:
    """The file's name in an address, as it is safe on any disk."""
    last = urllib.parse.unquote(urllib.parse.urlsplit(address).path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.+-]", "_", last, flags=re.ASCII).lstrip(".")[-120:] or "download"


def _download(address: str, path: Path, promised: str, timeout: float, progress: StageProgress | None) -> str:
    """Bring the bytes to the path, at once and whole; their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            body = _Body(address, file, shutil.disk_usage(path.parent).free - _SPARE)
            digest = receive(
                address,
                body.write,
                timeout=timeout,
                progress=progress,
                accept=body.accept,
                opener=urllib.request.build_opener(_Redirects),
            )
            file.flush()
            os.fsync(file.fileno())
        if not body.size:
            raise DownloadError(f"{address} sent nothing: the file is empty")
        if not digest.startswith(promised):
            raise DownloadError(
                f"{address} sent bytes with the SHA-256 {digest[: max(16, len(promised))]}, but {promised} is "
                f"promised; nothing was kept: look for the right hash or the right address"
            )
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return digest


class _Body:
    """Takes an answer as it comes, unless it is a web page or more than the disk holds."""

    def __init__(self, address: str, file: IO[bytes], room: int) -> None:
        self.address, self.size = address, 0
        self._file, self._room = file, room

    def accept(self, headers: Message) -> None:
        """Look at the headers."""
        kind = headers.get_content_type() if headers.get("Content-Type") else ""
        if kind in ("text/html", "application/xhtml+xml"):
            self._refuse_page(f"the server calls it {kind}")
        self._refuse_size(int(headers.get("Content-Length") or 0))

    def write(self, block: bytes) -> None:
        """Look at the first bytes, and keep all."""
        if not self.size and block[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(
            (b"<!doctype html", b"<html")
        ):
            self._refuse_page("it begins as one")
        self.size += len(block)
        self._refuse_size(self.size)
        self._file.write(block)

    def _refuse_page(self, why: str) -> None:
        raise DownloadError(
            f"{self.address} is a web page, not a file ({why}); give the address of the file itself, as the link for "
            f"its download has it"
        )

    def _refuse_size(self, size: int) -> None:
        if size > self._room:
            raise DownloadError(
                f"{self.address} is too large: {size:,} bytes or more, and the disk of {cache_folder()} has room for "
                f"{max(0, self._room):,}"
            )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows an answer elsewhere only to https, and to http from http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """The next request, or an error."""
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in ("https", req.type):
            raise DownloadError(
                f"{req.full_url} leads on to an address of {scheme}; expected https"
                f"{' or http' if req.type == 'http' else ''}: if you trust it, download it yourself and give the file"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _why(code: int) -> str:
    if code in (401, 403):
        return "; it wants a login or an agreement: download it with your browser and give the file"
    if code in (404, 410):
        return "; check the address"
    return "; try again later, or download it otherwise and give the file"


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.origin.json")


def _record(path: Path, url: str, sha256: str) -> None:
    status = path.stat()
    write_entry(_record_of(path), {"url": url, "sha256": sha256, "file": [status.st_size, status.st_mtime_ns]})
