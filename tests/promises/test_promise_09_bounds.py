"""Promise 9: memory and time per image are bounded, in this process and in those that decode."""

import hashlib
import os
import time

import numpy as np
import pytest

from featstore.decoding.pool import DecodePool
from tests.support.pictures import png
from tests.support.pool_inputs import FAULTY, SPEC, gather, reference, write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def add(folder, name, data):
    (folder / name).write_bytes(data)
    return (os.fsencode(folder / name), hashlib.sha256(data).digest())


def test_a_bomb_within_the_pixel_limit_fails_at_the_memory_limit_and_nobody_else_does(tmp_path):
    import resource

    items = write(tmp_path, 6)
    good = reference(items)
    bomb = add(tmp_path, "bomb.png", png(9900, 9900, bytes(9900 * (3 * 9900 + 1))))
    assert (tmp_path / "bomb.png").stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with DecodePool(SPEC, workers=1, bytes_per_image=128 << 20) as pool:
        images, status, reasons = gather(pool, [*items[:3], bomb, *items[3:]])
    assert status.tolist() == [0, 0, 0, 2, 0, 0, 0]
    assert reasons[3] == "decoding needs more than 128 MiB of memory, twice"
    np.testing.assert_array_equal(images[status == 0], good)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB: this process decoded nothing


@pytest.mark.parametrize("deed", [b"#spin", b"#spin-in-c"])
def test_an_image_that_takes_for_ever_is_given_up_in_time(tmp_path, deed):
    items = write(tmp_path, 5, endings={2: deed})
    began = time.monotonic()
    with DecodePool(SPEC, workers=1, seconds_per_image=0.5, decoder=FAULTY) as pool:
        _, status, reasons = gather(pool, items)
    assert status.tolist() == [0, 0, 2, 0, 0] and reasons[2] == "decoding took longer than 0.5 s, twice"
    assert time.monotonic() - began < 30


def test_a_file_larger_than_an_image_may_be_is_not_read(tmp_path):
    items = write(tmp_path, 2)
    (tmp_path / "large.jpg").touch()
    os.truncate(tmp_path / "large.jpg", 1 << 40)  # sparse: a tebibyte of nothing
    large = (os.fsencode(tmp_path / "large.jpg"), bytes(32))
    with DecodePool(SPEC, workers=1) as pool:
        _, status, reasons = gather(pool, [items[0], large, items[1]])
    assert status.tolist() == [0, 2, 0] and "more than the" in reasons[1]
