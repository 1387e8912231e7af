"""Open a file that the world outside may have replaced by something else since it was listed."""

from __future__ import annotations

import os
import stat


def open_regular(path: bytes) -> tuple[int, os.stat_result]:
    """Open a regular file for reading, never waiting for a pipe that took its place.

    Parameters
    ----------
    path : bytes

    Returns
    -------
    descriptor : int
        To be closed by the caller.
    status : os.stat_result
        Of the file that was opened.

    Raises
    ------
    OSError
        Where it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file")
    return descriptor, status
