"""Which columns of Parquet files are images and labels."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.hashing import hash_files
from featstore.sources.addresses import addresses
from tests.support.archives import pictures
from tests.support.shards import read, rows, table

JPEG = list(pictures().values())


def test_columns_that_are_named_are_used_and_others_refused(tmp_path):
    image = [{"bytes": data, "path": None} for data in JPEG[:2]]
    path = table(tmp_path / "a.parquet", image=image, mask=JPEG[2:4], label=[0, 1], breed=["pug", "beagle"])
    labelled = read(path, label_column="breed", path_column="mask")
    assert rows(labelled) == [("a.parquet/mask:0", "pug", ""), ("a.parquet/mask:1", "beagle", "")]
    found = addresses([labelled.root + b"/" + name for name in labelled.found.paths])
    assert [h.digest for h in hash_files(found)] == [hashlib.sha256(data).digest() for data in JPEG[2:4]]
    with pytest.raises(UnknownNameError, match="unknown label column 'bred'; close matches: breed"):
        read(path, label_column="bred")
    with pytest.raises(UnknownNameError, match="unknown image column 'label'"):
        read(path, path_column="label")


def test_a_label_beyond_the_names_is_refused_and_minus_one_is_none(tmp_path):
    about = {b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["a"]}}}}).encode()}
    made = pa.table({"image": JPEG[:2], "label": [0, -1]})
    pq.write_table(made.replace_schema_metadata(about), tmp_path / "a.parquet")
    assert [row[1] for row in rows(read(tmp_path / "a.parquet"))] == ["a", None]
    made = pa.table({"image": JPEG[:2], "label": [0, 5]})
    pq.write_table(made.replace_schema_metadata(about), tmp_path / "b.parquet")
    with pytest.raises(ImageSetError, match=r"b\.parquet/1 has the label 5, and the file names 1 classes"):
        read(tmp_path / "b.parquet")
