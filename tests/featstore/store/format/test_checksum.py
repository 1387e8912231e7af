import hashlib
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.store.format import checksum as module
from featstore.store.format.checksum import BLOCK, PIECE, Checksum, block_sums, checksum


def by_the_book(data: bytes) -> str:
    """The definition in Python's own integers."""
    keys = hashlib.shake_128(b"featstore checksum").digest(BLOCK)
    keys = [int.from_bytes(keys[i : i + 8], "little") | 1 for i in range(0, BLOCK, 8)]
    first, second = b"", b""
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK]
        words = [int.from_bytes(block[i : i + 8], "little") for i in range(0, len(block), 8)]
        for upper in (False, True):
            total = sum((word >> 32 if upper else word) * key for word, key in zip(words, keys, strict=False)) % 2**64
            if upper:
                second += total.to_bytes(8, "little")
            else:
                first += total.to_bytes(8, "little")
    return hashlib.sha256(hashlib.sha256(first).digest() + hashlib.sha256(second).digest()).hexdigest()


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


@pytest.fixture
def sums(monkeypatch):
    """Puts something else in the place of the compiled module; None for nothing."""

    def replaced(function):
        other = None if function is None else SimpleNamespace(sums=function)
        monkeypatch.setitem(sys.modules, "featstore.store.format._sums", other)
        module._summing.cache_clear()

    yield replaced
    monkeypatch.undo()
    module._summing.cache_clear()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 4096, BLOCK - 3, BLOCK, BLOCK + 1, 3 * BLOCK + 12])
@pytest.mark.parametrize("compiled", [True, False])
def test_it_is_as_defined(sums, size, compiled):
    if not compiled:
        sums(None)
        assert not module.compiled()
    assert checksum(noise(size)) == by_the_book(noise(size))
    odd = memoryview(b"abc" + noise(size))[3:]  # words at odd addresses
    assert checksum(odd) == by_the_book(noise(size))


def test_the_compiled_sums_are_in_use_where_there_is_a_compiler(compiler):
    assert module.compiled()


def test_a_module_with_other_sums_is_not_used(sums):
    really = pytest.importorskip("featstore.store.format._sums").sums

    def wrong(out, words, keys):
        really(out, words, keys)
        out[1, -1] ^= np.uint64(1)

    sums(wrong)
    assert not module.compiled() and checksum(noise(5000)) == by_the_book(noise(5000))
    sums(really)
    assert module.compiled()


@pytest.mark.parametrize(("out", "words", "keys"), [(32, 64, 24), (15, 64, 64), (16, 63, 63), (0, 0, 64), (16, 64, 0)])
def test_the_module_refuses_what_does_not_fit(out, words, keys):
    really = pytest.importorskip("featstore.store.format._sums").sums
    with pytest.raises(
        ValueError, match=f"{words} bytes are not blocks of {keys}, with room for two sums each in {out}"
    ):
        really(bytearray(out), bytes(words), bytes(keys))
    with pytest.raises(TypeError, match="read-write"):
        really(bytes(16), bytes(64), bytes(64))


@pytest.mark.parametrize("size", [PIECE, PIECE + BLOCK + 5, 2 * PIECE])
def test_pieces_make_the_whole(size):
    data = memoryview(noise(size))
    whole = Checksum()
    for start in range(0, size, PIECE):
        whole.update(data[start : start + PIECE])
    assert whole.hexdigest() == checksum(data) == by_the_book(bytes(data))


def test_every_flipped_bit_of_a_block_is_noticed():
    data = bytearray(noise(512))
    good = checksum(bytes(data))
    for i in range(len(data)):
        for bit in range(8):
            data[i] ^= 1 << bit
            assert checksum(bytes(data)) != good
            data[i] ^= 1 << bit


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 31)), min_size=1, max_size=8, unique=True), st.booleans())
def test_several_flips_are_noticed_also_in_the_uppermost_bits(flips, upper):
    words = np.frombuffer(noise(1024), dtype="<u8").copy()
    good = checksum(words.tobytes())
    for word, bit in flips:
        words[word] ^= np.uint64(1 << (63 - bit if upper else bit))
    assert checksum(words.tobytes()) != good


def test_the_same_uppermost_bit_of_many_words_is_noticed():
    """A line of a memory bus that is stuck: sums modulo 2**64 of whole words alone would miss half of these."""
    words = np.frombuffer(noise(1024), dtype="<u8").copy()
    for count in (2, 4, 32, 128):
        stuck = words.copy()
        stuck[:count] ^= np.uint64(1 << 63)
        assert checksum(stuck.tobytes()) != checksum(words.tobytes())


def test_blocks_and_words_in_another_order_and_zeros_are_noticed():
    data = noise(3 * BLOCK)
    blocks = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)]
    assert checksum(blocks[1] + blocks[0] + blocks[2]) != checksum(data)
    assert checksum(data[8:16] + data[:8] + data[16:]) != checksum(data)
    assert checksum(data[:4096] + bytes(4096) + data[8192:]) != checksum(data)


def test_threads_do_not_disturb_each_other():
    data = [noise(PIECE + i) for i in range(8)]
    expected, found = [checksum(d) for d in data], [None] * 8

    def work(i):
        for _ in range(5):
            found[i] = checksum(data[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


@pytest.mark.parametrize("size", [0, 5, BLOCK, 3 * BLOCK + 12])
def test_the_sums_of_all_blocks_make_the_checksum(size):
    view = memoryview(noise(size))
    sums = np.concatenate(
        [np.empty((2, 0), "<u8"), *(block_sums(view[i : i + BLOCK]) for i in range(0, size, BLOCK))], axis=1
    )
    np.testing.assert_array_equal(sums, block_sums(view))
    parts = [hashlib.sha256(row.tobytes()).digest() for row in sums]
    assert hashlib.sha256(b"".join(parts)).hexdigest() == by_the_book(bytes(view))
