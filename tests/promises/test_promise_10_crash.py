"""Promise 10: a decoder that crashes, spins or eats memory loses one image; the pool recovers and the others go on."""

import os

import numpy as np
import pytest

from featstore.decoding.pool import DecodePool
from tests.support.pool_inputs import FAULTY, SPEC, gather, reference, write

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
    pytest.mark.usefixtures("all_at_once"),
]

DEEDS = {
    b"#segfault": "crashed (SIGSEGV), twice",
    b"#spin": "took longer than 10 s, twice",
    b"#eat": "needs more than 128 MiB of memory, twice",
    b"#exit": "ended with status 3, twice",
    b"#kill": "was killed by the system (out of memory?), twice",
}


@pytest.mark.parametrize("workers", [2])
def test_each_misdeed_costs_its_own_image_and_no_other(tmp_path, workers):
    endings = {3 * number + 1: deed for number, deed in enumerate(DEEDS)}
    items = write(tmp_path, 18, endings=endings)
    good = reference(items)
    with DecodePool(
        SPEC, workers=workers, batch_size=5, seconds_per_image=10, bytes_per_image=128 << 20, decoder=FAULTY
    ) as pool:
        images, status, reasons = gather(pool, items)
        assert pool.replaced >= len(DEEDS)
    bad = np.isin(np.arange(18), list(endings))
    assert (status[bad] == 2).all() and not status[~bad].any()
    for row, deed in endings.items():
        assert reasons[row].endswith(DEEDS[deed]), reasons[row]
    np.testing.assert_array_equal(images[~bad], good[~bad])
    assert not images[bad].any()
