import hashlib
import os
from pathlib import Path

import pytest

from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from featstore.decoding.relayed_items import RelayedItems, relayed
from featstore.sources.address import StreamRange, parse
from featstore.sources.addresses import addresses
from featstore.sources.reading import read
from tests.support.archives import pictures, written

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="relayed items need /proc")
FILES = pictures(20)


def items_of(place):
    found = addresses([os.fsencode(place / name) for name in FILES])
    return [(a, hashlib.sha256(data).digest()) for a, data in zip(found, FILES.values(), strict=True)]


def test_a_slice_is_in_memory_until_it_is_released(tmp_path):
    items = items_of(written(FILES, tmp_path, "tar.gz"))
    held = relayed(items, 1 << 20)
    part = held[5:9]
    assert [read(address, 1 << 20) for address, _ in part] == list(FILES.values())[5:9]
    assert [digest for _, digest in part] == [digest for _, digest in items[5:9]]
    assert held[5] == items[5] and len(held) == len(items)
    held.release(8)
    assert read(part[0][0], 1 << 20)
    held.release(9)
    with pytest.raises(OSError):
        read(part[0][0], 1 << 20)


def test_plain_files_and_members_of_a_tar_stay_as_they_are(tmp_path):
    items = items_of(written(FILES, tmp_path, "tar"))
    assert relayed(items, 1 << 20) is items


def test_what_cannot_be_read_or_held_is_left_to_the_workers(tmp_path, monkeypatch):
    items = items_of(written(FILES, tmp_path, "tar.gz"))
    bad = StreamRange(10**9, 5, parse(items[0][0]).path).address(), bytes(32)
    assert RelayedItems([bad, items[0]], 1 << 20)[0:2][0] == bad
    assert RelayedItems(items, 10)[0:3] == items[:3]
    monkeypatch.setattr("featstore.decoding.relayed_items.HELD_BYTES", 1000)
    held = RelayedItems(items, 1 << 20)
    part = held[0:9]
    assert part[0] != items[0] and part[5:] == items[5:9]
    assert read(part[0][0], 1 << 20) == FILES["ants/0.jpg"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "parquet"])
def test_the_pixels_are_the_same_from_every_container(tmp_path, kind):
    folder = items_of(written(FILES, tmp_path / "plain", "folder"))
    spec = TransformSpec(resize=16, crop=16)
    with DecodePool(spec, workers=0) as pool:
        expected = [batch.images.tobytes() for batch in pool.run(folder)]
    items = items_of(written(FILES, tmp_path, kind))
    items[7] = items[7][0], bytes(32)
    with DecodePool(spec, workers=2) as pool:
        batches = list(pool.run(items))
    assert [int(s) for batch in batches for s in batch.status] == [3 if i == 7 else 0 for i in range(40)]
    for batch, images in zip(batches, expected, strict=True):
        size = 16 * 16 * 3
        for row in range(len(batch.status)):
            if batch.start + row != 7:
                assert batch.images[row].tobytes() == images[row * size : (row + 1) * size]
