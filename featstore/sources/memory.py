"""Pictures in memory as bytes: a canonical PPM file each, in one spool file whose ranges are addresses.

So their digests are those of the PPM bytes, the usual decoder gives the pixels back bit for bit, and decoding processes
read them like members of an archive.
"""

# Paths are bytes here, which pathlib does not know.
# ruff: noqa: PTH110

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from types import TracebackType
from typing import Any, Self

import numpy as np

from featstore.errors import ImageSetError
from featstore.sources.address import FileRange

WHITE = (255, 255, 255)
"""What lies below transparent pixels, as where files are decoded."""

_DEEP = ("I", "F", "LAB", "HSV")
_EXPECTED = "expected Pillow images, or uint8 arrays of shape (h, w), (h, w, 3) or (h, w, 4) with values 0 to 255"


def ppm(picture: Any) -> bytes:
    """The bytes of a picture as a PPM file.

    Parameters
    ----------
    picture : PIL.Image.Image, or array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), uint8
        The pixels are taken as they are, whatever Exif data say of a turn. The fourth channel is transparency.

    Raises
    ------
    ImageSetError
        Another type, shape or dtype; the message says how to come by uint8.

    Examples
    --------
    >>> ppm(np.zeros((1, 2), np.uint8))
    b'P6\\n2 1\\n255\\n\\x00\\x00\\x00\\x00\\x00\\x00'
    """
    from PIL import Image

    image = picture if isinstance(picture, Image.Image) else Image.fromarray(_checked(picture))
    if image.mode.startswith(_DEEP):
        raise ImageSetError(
            f"a Pillow image of mode {image.mode} has values that are no 8-bit colours; uint8 is wanted: scale it to "
            'the range 0 to 255 and convert it with `.convert("RGB")`'
        )
    if 0 in image.size:
        raise ImageSetError(f"a picture of {image.width} x {image.height} pixels; {_EXPECTED}")
    if image.has_transparency_data:
        if image.mode == "La":
            image = image.convert("LA")
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, WHITE)
        image.paste(rgba, mask=rgba.getchannel("A"))
    return b"P6\n%d %d\n255\n" % image.size + image.convert("RGB").tobytes()


def _checked(picture: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture as an array that Pillow takes."""
    if isinstance(picture, str | bytes | os.PathLike):
        raise ImageSetError(f"a path in place of a picture; {_EXPECTED}; a list file or folder names image files")
    if not hasattr(picture, "__array__") and not hasattr(picture, "__array_interface__"):
        raise ImageSetError(f"{type(picture).__name__} in place of a picture; {_EXPECTED}")
    try:
        array = np.asarray(picture)
    except Exception as error:  # a stranger's __array__ may raise anything (a tensor on a GPU)
        raise ImageSetError(f"{type(picture).__name__} cannot become an array ({error}); {_EXPECTED}") from error
    if array.dtype.kind == "f":
        raise ImageSetError(
            f"a picture of {array.dtype} values; uint8 is wanted: leave out the step that makes tensors or normalises "
            "(transform=None), or undo it and convert with `(255 * x).round().astype(np.uint8)`"
        )
    if array.dtype != np.uint8:
        raise ImageSetError(
            f"a picture of {array.dtype} values; uint8 is wanted: scale it to the range 0 to 255 and convert it with "
            "`.astype(np.uint8)`"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        if 0 in array.shape:
            raise ImageSetError(f"a picture of shape {array.shape} has no pixels; {_EXPECTED}")
        return np.ascontiguousarray(array)
    hint = ""
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        hint = "; channels come last here: `np.moveaxis(x, 0, -1)`"
    raise ImageSetError(f"a picture of shape {array.shape}; {_EXPECTED}{hint}")


class Spool:
    """A temporary file of bytes that lie one behind the other.

    It has no name where the system allows that (Linux), so nothing is left behind whatever ends the process; elsewhere
    it is removed when it is closed.

    Attributes
    ----------
    path : bytes
        What other processes of the same user open while the spool is open.

    Examples
    --------
    >>> from featstore.sources.reading import read
    >>> with Spool() as spool:
    ...     read(spool.add(b"hello").address(), limit=100)
    b'hello'
    """

    def __init__(self) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        place = os.fsencode(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        name: str | None = None
        if not os.path.exists(place):
            file.close()
            descriptor, name = tempfile.mkstemp(prefix="featstore-")
            file, place = os.fdopen(descriptor, "w+b"), os.fsencode(name)
        self.path = place
        self._file = file
        self._end = 0
        self._closed = weakref.finalize(self, _close, file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, data: bytes) -> FileRange:
        """Add bytes; they can be read at once.

        Raises
        ------
        ImageSetError
            The disk is full.
        """
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise ImageSetError(
                f"{tempfile.gettempdir()} has no room for the pictures in memory ({error.strerror}); make room, or let "
                "TMPDIR name another folder"
            ) from error
        self._end += len(data)
        return FileRange(self._end - len(data), len(data), self.path)

    def close(self) -> None:
        """Remove the file."""
        self._closed()


def _close(file: Any, name: str | None) -> None:
    with contextlib.suppress(OSError):
        file.close()
        if name is not None:
            os.unlink(name)  # noqa: PTH108 - text from tempfile
