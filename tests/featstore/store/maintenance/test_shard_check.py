import pytest

from featstore.errors import StoreDamagedError
from featstore.store.format.shard import encode
from featstore.store.maintenance.shard_check import check_shard
from tests.support.store_inputs import PROVENANCE, fingerprint, rows


@pytest.fixture
def shard(tmp_path):
    data, entry = encode(rows("ab"), fingerprint(), PROVENANCE)
    path = tmp_path / entry.file_name
    path.write_bytes(data)
    return path, entry


def test_a_sound_shard_is_described_as_its_writer_did(shard):
    path, entry = shard
    assert check_shard(path, None, fingerprint().key) == entry == check_shard(path, entry, fingerprint().key)


def test_another_name_another_feature_set_or_another_description_is_damage(shard):
    path, _ = shard
    with pytest.raises(StoreDamagedError, match="belongs to feature set"):
        check_shard(path, None, "0" * 16)
    _, other = encode(rows("cd"), fingerprint(), PROVENANCE)
    with pytest.raises(StoreDamagedError, match="not as its manifest says"):
        check_shard(path, other, fingerprint().key)
    with pytest.raises(StoreDamagedError, match="hash that it is named by"):
        check_shard(path.rename(path.with_name("0" * 64 + ".h5")), None, fingerprint().key)


def test_one_that_is_gone_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_shard(tmp_path / ("0" * 64 + ".h5"), None, fingerprint().key)
