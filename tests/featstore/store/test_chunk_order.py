import numpy as np
import pytest
from hypothesis import given, strategies as st

from featstore.errors import FeaturesError
from featstore.store.chunk_order import chunk_order
from featstore.store.format.checksum import BLOCK


def chunks(positions, starts, rows, order="rows", seed=0, row_bytes=64):
    found = chunk_order(np.array(positions), np.array(starts), rows, order=order, seed=seed, row_bytes=row_bytes)
    return [chunk.tolist() for chunk in found]


@given(st.data())
def test_every_order_has_every_row_once_in_chunks_that_are_not_too_large(data):
    shards = data.draw(st.lists(st.integers(1, 30), max_size=8))
    starts = np.cumsum([0, *shards])
    n = int(starts[-1])
    # rows in any order, not all of the shards' and some twice: one picture may be in a data set two times
    positions = data.draw(st.lists(st.integers(0, n - 1), max_size=60)) if n else []
    rows = data.draw(st.integers(1, 50))
    for order in ("rows", "stored", "shuffled"):
        row_bytes = data.draw(st.sampled_from([4, 5120, 100_352, 1 << 20]))
        found = chunks(np.array(positions, dtype=np.int64), starts, rows, order, 3, row_bytes)
        assert sorted(sum(found, [])) == list(range(len(positions)))
        assert all(0 < len(chunk) <= rows for chunk in found)
        if order == "rows":
            assert sum(found, []) == list(range(len(positions)))
        if order == "stored":
            assert [positions[row] for row in sum(found, [])] == sorted(positions)


def test_stored_chunks_end_with_a_shard():
    positions = np.arange(100)
    found = chunks(positions, [0, 30, 60, 70, 100], 50, "stored")
    assert [(chunk[0], chunk[-1]) for chunk in found] == [(0, 29), (30, 69), (70, 99)]


def test_a_shard_larger_than_a_chunk_is_cut():
    found = chunks(np.arange(100), [0, 70, 100], 32, "stored")
    assert [(chunk[0], chunk[-1]) for chunk in found] == [(0, 31), (32, 63), (64, 69), (70, 99)]


def test_a_shuffle_depends_on_the_seed_alone_and_mixes_blocks_from_everywhere():
    positions, starts = np.arange(6400), np.arange(0, 6401, 640)
    first = chunks(positions, starts, 640, "shuffled", 1, BLOCK // 32)
    assert first == chunks(positions, starts, 640, "shuffled", 1, BLOCK // 32)
    assert first != chunks(positions, starts, 640, "shuffled", 2, BLOCK // 32)
    for chunk in first:
        blocks = {row // 32 for row in chunk}
        assert len(blocks) <= 21 and len({row // 640 for row in chunk}) >= 5  # whole blocks, of many shards
        assert (np.diff(chunk) == 1).mean() < 0.1


@pytest.mark.parametrize(
    ("rows", "order", "said"), [(0, "rows", "chunks of 0 rows"), (5, "any", "'any'.*rows, stored")]
)
def test_what_is_no_chunk_is_refused_at_once(rows, order, said):
    with pytest.raises(FeaturesError, match=said):
        chunk_order(np.arange(3), np.array([0, 3]), rows, order=order, seed=0, row_bytes=4)
