"""What one decoding process does with one file."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

from featstore.decoding.pixels.decode import decode_picture
from featstore.decoding.pool import DecodePool
from featstore.decoding.worker import FAILED, MEMORY, OK, decode_file, decoder_from
from featstore.errors import DecodeError
from tests.support.pictures import encode, texture
from tests.support.pool_inputs import SPEC, gather, write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_workers_import_no_torch(tmp_path):
    with DecodePool(SPEC, workers=1, decoder="tests.support.faulty_decoders:imports") as pool:
        _, status, reasons = gather(pool, write(tmp_path, 1))
    assert status.tolist() == [1] and reasons == ["none"]


@pytest.mark.parametrize("workers", [0, 1])
def test_file_larger_than_an_image_may_take_is_not_read(tmp_path, workers):
    items = write(tmp_path, 3)
    os.truncate(items[1][0], 200_000_000)
    with DecodePool(SPEC, workers=workers, bytes_per_image=150_000_000) as pool:
        _, status, reasons = gather(pool, items)
    assert status.tolist() == [0, 2, 0]
    assert "more than the 150,000,000 that an image may take" in reasons[1]


def item(path: Path, data: bytes) -> tuple[bytes, bytes]:
    path.write_bytes(data)
    return os.fsencode(path), hashlib.sha256(data).digest()


def test_one_file_becomes_the_pixels_of_the_transform(tmp_path):
    picture = texture(3)
    status, reason, pixels = decode_file(*item(tmp_path / "x", encode(picture, "PNG")), SPEC, decode_picture, 1 << 30)
    assert (status, reason) == (OK, "")
    np.testing.assert_array_equal(np.frombuffer(pixels, np.uint8).reshape(32, 32, 3), SPEC.apply(picture))


def test_lack_of_memory_is_told_apart_from_a_bad_file(tmp_path):
    def decoder(data: bytes, **options: object):
        try:
            raise MemoryError
        except MemoryError as error:
            raise DecodeError("PNG: not enough memory to decode it") from error

    def broken(data: bytes, **options: object):
        raise MemoryError

    file = item(tmp_path / "x", b"anything")
    assert decode_file(*file, SPEC, decoder, 1 << 30)[:2] == (MEMORY, "PNG: not enough memory to decode it")
    assert decode_file(*file, SPEC, broken, 1 << 30)[:2] == (MEMORY, "not enough memory")
    assert decode_file(*item(tmp_path / "y", b"no picture"), SPEC, decode_picture, 1 << 30)[0] == FAILED


def test_decoder_is_found_by_name():
    assert decoder_from("featstore.decoding.pixels.decode:decode_picture") is decode_picture
    with pytest.raises(ModuleNotFoundError):
        decoder_from("featstore.no_such:decode")


def test_address_space_of_a_worker_is_limited_and_no_core_is_dumped(tmp_path):
    pytest.importorskip("resource")
    if not Path("/proc/self/limits").exists():
        pytest.skip("needs /proc")
    with DecodePool(SPEC, workers=1, bytes_per_image=512 << 20) as pool:
        gather(pool, [item(tmp_path / "x", encode(texture(3)))])
        limits = Path(f"/proc/{pool._supervisor.processes[0].pid}/limits").read_text()
        score = Path(f"/proc/{pool._supervisor.processes[0].pid}/oom_score_adj").read_text()
    size = int(re.search(r"Max address space\s+(\d+)", limits)[1])
    assert 512 << 20 < size < 2 << 30
    assert re.search(r"Max core file size\s+0", limits)
    assert int(score) >= 0
