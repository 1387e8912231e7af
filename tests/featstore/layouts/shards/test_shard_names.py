"""What the paths of images in shards tell."""

from featstore.layouts.shards.shard_names import file_part


def test_parts_in_names():
    told = {
        b"data/train-00000-of-00002.parquet": "train",
        b"validation.parquet": "val",
        b"test-00000-of-00001-3f2a9b1c5d7e8f60.parquet": "test",
        b"test/0000.parquet": "test",
        b"partial-train/0000.parquet": "",
        b"shard-000.tar": "",
        b"val_012.tar.gz": "val",
    }
    assert {name: file_part(name) for name in told} == told
