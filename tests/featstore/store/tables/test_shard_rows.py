import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import StoreDamagedError
from featstore.store.format.checksum import BLOCK
from featstore.store.format.rows import Rows
from featstore.store.format.shard import encode
from featstore.store.tables import shard_rows as module
from featstore.store.tables.shard_rows import ShardRows
from featstore.system import fsread
from tests.support.store_inputs import digests, fingerprint


def made(folder, n, dim, **changes):
    """A shard of numbers that float16 holds, too."""
    X = np.random.default_rng(n).integers(-999, 999, (n, dim)).astype(np.float32)
    data, entry = encode(Rows(digests(range(n)), X, np.zeros(n, np.uint8), ("",) * n), fingerprint(**changes), {})
    path = folder / entry.file_name
    path.write_bytes(data)
    return X, ShardRows(path, entry)


def taken(shard, rows, dim):
    X = np.full((len(rows), dim), np.nan, dtype=np.float32)
    shard.read(np.array(rows, dtype=np.int64), X, np.arange(len(rows)))
    return X


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("dim", [1, 7, 1025, 70_000])
def test_any_rows_in_any_order_at_the_first_reading_and_later(tmp_path, dim, precision):
    X, shard = made(tmp_path, 12, dim, precision=precision)
    for rows in ([3], [11, 0, 5], list(range(12)), [2, 2, 3, 3], [7, 6, 5]):
        np.testing.assert_array_equal(taken(shard, rows, dim), X[rows])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_choice_of_rows_of_a_shard_of_many_blocks(tmp_path_factory, data):
    dim = data.draw(st.sampled_from([3, 500, 1000, 4096, 33_000]))
    n = data.draw(st.integers(1, 60))
    X, shard = made(tmp_path_factory.mktemp("shard"), n, dim)
    for _ in range(3):
        rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=2 * n))
        np.testing.assert_array_equal(taken(shard, rows, dim), X[rows])


def test_a_few_rows_cost_a_few_blocks_once_the_shard_is_known(tmp_path, monkeypatch):
    X, shard = made(tmp_path, 100, BLOCK // 8)  # two rows a block
    taken(shard, [0], BLOCK // 8)
    read = []

    def pieces(path, size, spans, piece):
        read.extend(length for _, length in spans)
        return real(path, size, spans, piece)

    real = fsread.read_pieces
    monkeypatch.setattr(module.fsread, "read_pieces", pieces)
    np.testing.assert_array_equal(taken(shard, [50, 51, 9], BLOCK // 8), X[[50, 51, 9]])
    assert sum(read) == 2 * BLOCK


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("where", [0, 100_000, 399_999])
def test_a_flipped_bit_is_found_whether_the_shard_is_known_or_not(tmp_path, known, where):
    _, shard = made(tmp_path, 100, 1000)
    if known:
        taken(shard, [0], 1000)
    data = bytearray(shard.path.read_bytes())
    data[shard.entry.layout["features"].offset + where] ^= 4
    shard.path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match=r"its features are not those that were committed.*featstore repair"):
        taken(shard, [where // 4000], 1000)


def test_damage_elsewhere_is_found_before_the_first_row_is_returned(tmp_path):
    _, shard = made(tmp_path, 100, 1000)
    data = bytearray(shard.path.read_bytes())
    data[shard.entry.layout["features"].offset + 399_999] ^= 4
    shard.path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="committed"):
        taken(shard, [0], 1000)


def test_a_shard_that_is_gone_is_a_file_not_found(tmp_path):
    _, shard = made(tmp_path, 3, 5)
    shard.path.unlink()
    with pytest.raises(FileNotFoundError):
        taken(shard, [0], 5)


def test_the_caller_may_stop_between_pieces(tmp_path):
    _, shard = made(tmp_path, 100, 10_000)
    seen = []

    def between():
        seen.append(1)
        if len(seen) == 3:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        shard.read(np.arange(100), np.empty((100, 10_000), np.float32), np.arange(100), between)
    assert len(seen) == 3
