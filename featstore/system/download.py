"""Download one file whose name promises a hash: nothing appears at the target before all of it is there and right."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path

from featstore.errors import WeightsError
from featstore.system.reporting import StageProgress

_BLOCK = 1 << 18
_SLOWEST = 4096
"""Bytes a second, on average; a server that drips below this is as good as silent."""


def fetch(url: str, target: Path, sha256: str, *, timeout: float = 10.0, progress: StageProgress | None = None) -> None:
    """Download `url` to `target`.

    Parameters
    ----------
    target : Path
        Replaced at once when all bytes are there, on disk and of the right hash; else left as it was.
    sha256 : str
        The first hexadecimal digits that the SHA-256 of the file must have.
    timeout : float
        Seconds that the server may stay silent.

    Raises
    ------
    OSError
        The server cannot be reached, refuses, stays silent, breaks off early, or the disk refuses.
    WeightsError
        The bytes are not those that the hash promises.

    Examples
    --------
    >>> import hashlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source, target = Path(folder) / "source", Path(folder) / "target"
    ...     _ = source.write_bytes(b"weights")
    ...     fetch(source.as_uri(), target, hashlib.sha256(b"weights").hexdigest())
    ...     target.read_bytes()
    b'weights'
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            digest = receive(url, file.write, timeout=timeout, progress=progress)
            file.flush()
            os.fsync(file.fileno())
        if not digest.startswith(sha256):
            raise WeightsError(
                f"{url} sent bytes with the SHA-256 {digest[:16]}..., but the name promises {sha256}...; nothing "
                'was kept: try again later, or give a file that you trust with `weights="FILE"`'
            )
        Path(name).chmod(0o644)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def receive(
    url: str,
    write: Callable[[bytes], object],
    *,
    timeout: float,
    progress: StageProgress | None = None,
    accept: Callable[[Message], None] | None = None,
    opener: urllib.request.OpenerDirector | None = None,
) -> str:
    """Pass the body of an answer on.

    Parameters
    ----------
    write : callable
        Takes the bytes in order.
    timeout : float
        Seconds that the server may stay silent.
    progress : callable, optional
        Called with the bytes done and the bytes in all, 0 where the server does not say.
    accept : callable, optional
        Called with the answer's headers before its body is read; raises where they are not right.
    opener : OpenerDirector, optional
        In place of urllib's, which follows redirects to http, https and ftp.

    Returns
    -------
    str
        SHA-256 of the body in hexadecimal digits.

    Raises
    ------
    OSError
        The server cannot be reached, refuses, stays silent, or breaks off early.
    """
    digest = hashlib.sha256()
    done, began = 0, time.monotonic()
    request = urllib.request.Request(url, headers={"User-Agent": "featstore"})
    open_url = urllib.request.urlopen if opener is None else opener.open
    try:
        with open_url(request, timeout=timeout) as response:
            if accept is not None:
                accept(response.headers)
            total = int(response.headers.get("Content-Length") or 0)
            while block := response.read1(_BLOCK):
                write(block)
                digest.update(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
                elapsed = time.monotonic() - began
                if elapsed > timeout and done < _SLOWEST * elapsed:
                    raise TimeoutError(f"only {done} bytes came in {elapsed:.0f} s")
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"the answer made no sense: {error}") from error
    if total and done < total:
        raise ConnectionError(f"the connection broke after {done} of {total} bytes")
    return digest.hexdigest()
