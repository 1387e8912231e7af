"""JPEG files -> network input on a CUDA device: nvJPEG decodes, PyTorch resizes.

torchvision's `decode_jpeg` decodes there. Its pixels differ from Pillow's by a few grey levels at coloured edges, and
resizing is in float32 with one rounding, where Pillow rounds twice: a decode rule of its own.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Sequence

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from featstore.decoding.pixels.decode import RULES
from featstore.decoding.pixels.jpeg_header import JpegHeader
from featstore.decoding.pixels.transform import MAX_RESIZED_PIXELS, TransformSpec
from featstore.errors import DeviceError
from featstore.system.machine import is_out_of_memory

CALL_BYTES = 256 << 20
"""Decoded bytes of a call to the decoder, at most; a single larger image goes alone."""

CHECK_LEVELS = 3.0
"""Grey levels that the decoder may be off on average, on smooth pictures."""

_RGB = torchvision.io.ImageReadMode.RGB


class NvjpegDecoder:
    """Decodes and transforms on one device. An image's bits depend on its bytes alone, not on its neighbours.

    Parameters
    ----------
    spec : TransformSpec
    device : str
        "cuda" or "cuda:N". On "cpu" the same code runs with libjpeg, for tests.
    """

    def __init__(self, spec: TransformSpec, device: str) -> None:
        self._spec = spec
        self._device = torch.device(device)
        self._cuda = self._device.type == "cuda"
        if self._cuda:
            torch.cuda.set_device(self._device.index or 0)

    def warm_up(self) -> None:
        """Have the device load and allocate what decoding needs."""
        files = _samples()
        self.decode(files, [JpegHeader(200, 120)] * len(files))

    def accepts(self, header: JpegHeader | None) -> bool:
        """Whether an image is for the device: its header is plain and its size bounded."""
        if header is None or header.width * header.height > RULES["max_pixels"]:
            return False
        width, height = self._spec.placed(header.width, header.height)[0]
        return width * height <= MAX_RESIZED_PIXELS

    def decode(
        self, files: Sequence[bytes], headers: Sequence[JpegHeader]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Decode files, resize and crop them.

        Parameters
        ----------
        files : sequence of bytes
            Whole JPEG files whose headers `accepts` accepted.
        headers : sequence of JpegHeader

        Returns
        -------
        pixels : ndarray of shape (n, crop, crop, 3), uint8
            Zeros where an image was refused.
        good : ndarray of shape (n,), bool
            False where the decoder refused the file.
        short : ndarray of shape (n,), bool
            True where the device has not enough memory for the image alone; then `good` is False.
        """
        side = self._spec.crop
        out = torch.zeros((len(files), 3, side, side), dtype=torch.float32, device=self._device)
        good, short = np.zeros(len(files), dtype=bool), np.zeros(len(files), dtype=bool)
        with torch.inference_mode():
            for rows in _calls(headers):
                self._attempt(rows, files, headers, out, good, short)
            rounded = out.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
            pixels = torch.empty(rounded.shape, dtype=torch.uint8, pin_memory=self._cuda)
            pixels.copy_(rounded.contiguous())
        return pixels.numpy(), good, short

    def _attempt(
        self,
        rows: Sequence[int],
        files: Sequence[bytes],
        headers: Sequence[JpegHeader],
        out: Tensor,
        good: NDArray[np.bool_],
        short: NDArray[np.bool_],
    ) -> None:
        """Decode some rows together; where that fails, each half by itself, down to the image that is to blame."""
        try:
            for row, image in zip(rows, self.decoded([files[row] for row in rows]), strict=True):
                good[row] = tuple(image.shape) == (3, headers[row].height, headers[row].width)
                if good[row]:
                    self._place(image, headers[row].orientation, out[row])
            return
        except RuntimeError as error:
            memory = is_out_of_memory(error)
        if memory and self._cuda:
            torch.cuda.empty_cache()
        for row in rows:
            good[row] = False
            out[row].zero_()  # on a device that is lost, this raises: the process ends, and is replaced
        if len(rows) == 1:
            short[rows[0]] = memory
            return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            self._attempt(part, files, headers, out, good, short)

    def decoded(self, files: Sequence[bytes]) -> list[Tensor]:
        """Decode JPEG files, as they are stored: tensors of shape (3, h, w), uint8, on the device.

        Raises
        ------
        RuntimeError
            One of them cannot be decoded, or memory ran out.
        """
        if self._cuda:
            # torchvision decodes on a stream of its own into memory that kernels queued on this one may still read
            torch.cuda.current_stream().synchronize()
        with warnings.catch_warnings():  # of bytes that cannot be written, and of decoders that torchvision will drop
            warnings.simplefilter("ignore")
            encoded = [torch.from_numpy(np.frombuffer(file, dtype=np.uint8)) for file in files]
            images: list[Tensor] = torchvision.io.decode_jpeg(encoded, mode=_RGB, device=self._device)
        return images

    def _place(self, image: Tensor, orientation: int, out: Tensor) -> None:
        """Turn one image upright, resize it and put its crop into `out`, (3, crop, crop)."""
        image = upright(image, orientation)
        (width, height), (left, top) = self._spec.placed(image.shape[2], image.shape[1])
        side = self._spec.crop
        resized = interpolate(
            image[None].float(),
            size=(height, width),
            mode=self._spec.interpolation,
            antialias=True,
            align_corners=False,
        )[0]
        part = resized[:, max(top, 0) : top + side, max(left, 0) : left + side]
        y, x = max(-top, 0), max(-left, 0)
        out[:, y : y + part.shape[1], x : x + part.shape[2]] = part


def require_cuda(device: str) -> None:
    """DeviceError where a device cannot have nvJPEG."""
    if not device.startswith("cuda"):
        raise DeviceError(
            f"JPEG files are to be decoded by nvJPEG for these features, which needs a CUDA device, and the network "
            f"runs on {device} here; use a machine with such a device, or features extracted without `nvjpeg`"
        )


def check_nvjpeg(device: str) -> None:
    """Decode a few pictures, as many kinds of JPEG files as are taken, and compare them with Pillow's.

    Raises
    ------
    DeviceError
        torchvision without nvJPEG, or pixels that are not those of the pictures.
    """
    files = _samples()
    expected = [np.asarray(Image.open(io.BytesIO(file))).transpose(2, 0, 1) for file in files]
    spec = TransformSpec(resize=120, crop=120)
    try:
        found = NvjpegDecoder(spec, device).decoded(files)
        errors = [np.abs(a.cpu().numpy().astype(int) - b).mean() for a, b in zip(found, expected, strict=True)]
    except (RuntimeError, ValueError) as error:
        line = str(error).partition("\n")[0]
        raise DeviceError(f"nvJPEG does not work on {device} ({line}); extract without `nvjpeg`") from error
    if max(errors) > CHECK_LEVELS:
        raise DeviceError(
            f"nvJPEG on {device} gives other pictures than Pillow, {max(errors):.0f} grey levels off on average; "
            f"extract without `nvjpeg`"
        )


def _samples() -> list[bytes]:
    """A smooth picture as the kinds of JPEG files that are taken."""
    y, x = np.mgrid[0:120, 0:200] / 30.0
    picture = np.stack([128 + 100 * np.sin(x + y), 128 + 100 * np.cos(x), 128 + 100 * np.sin(2 * y)], axis=-1)
    files = []
    for subsampling, progressive in itertools.product((0, 1, 2), (False, True)):
        file = io.BytesIO()
        image = Image.fromarray(picture.astype(np.uint8))
        image.save(file, "JPEG", quality=90, subsampling=subsampling, progressive=progressive)
        files.append(file.getvalue())
    return files


def upright(image: Tensor, orientation: int) -> Tensor:
    """Undo an Exif orientation.

    Parameters
    ----------
    image : Tensor of shape (3, h, w)
    orientation : int
        1 to 8.
    """
    if orientation >= 5:
        image = image.transpose(1, 2)
    flipped = [axis for axis, kinds in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if orientation in kinds]
    return image.flip(flipped) if flipped else image


def _calls(headers: Sequence[JpegHeader]) -> list[list[int]]:
    """Rows that are decoded together: in order, few enough for `CALL_BYTES`."""
    calls: list[list[int]] = []
    room = 0
    for row, header in enumerate(headers):
        size = header.width * header.height * 3
        if not calls or size > room:
            calls.append([])
            room = CALL_BYTES
        calls[-1].append(row)
        room -= size
    return calls
