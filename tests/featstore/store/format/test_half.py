import numpy as np
import pytest

from featstore.store.format import half
from featstore.store.format.half import widen

FINITE = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = FINITE[np.isfinite(FINITE)]


def widened(stored):
    out = np.full(stored.shape, np.nan, dtype=np.float32)
    widen(stored, out)
    return out


@pytest.mark.parametrize("flushing", [False, True])
def test_every_number_of_float16_has_the_bits_that_numpy_gives(monkeypatch, flushing):
    monkeypatch.setattr(half, "_flushes_subnormals", lambda: flushing)
    np.testing.assert_array_equal(widened(FINITE).view(np.uint32), FINITE.astype(np.float32).view(np.uint32))


def test_several_pieces_and_bytes_of_a_file_at_odd_places(monkeypatch):
    monkeypatch.setattr(half, "_PIECE", 1000)
    np.testing.assert_array_equal(widened(FINITE), FINITE.astype(np.float32))
    shifted = np.frombuffer(b"x" + FINITE.tobytes(), dtype="<f2", offset=1, count=len(FINITE))
    np.testing.assert_array_equal(widened(shifted), FINITE.astype(np.float32))


def test_float32_is_copied():
    X = np.random.default_rng(0).standard_normal(999).astype(np.float32)
    np.testing.assert_array_equal(widened(X), X)
    assert widened(np.empty(0, np.float16)).shape == (0,)


def test_this_processor_keeps_small_numbers():
    assert not half._flushes_subnormals()
