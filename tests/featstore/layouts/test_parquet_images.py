import hashlib
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from featstore.errors import ImageSetError, ImagesNotFoundError, UnknownNameError
from featstore.images.hashing import hash_files
from featstore.images.listing import Listing
from featstore.images.reading import Reading
from featstore.layouts.parquet_images import file_part, parquet_images
from featstore.sources.addresses import addresses
from tests.support.archives import parquet_of, pictures

FILES = pictures()
JPEG = list(FILES.values())


def read(*paths, **said):
    return parquet_images([os.fsencode(path) for path in paths], Reading(**said))


def rows(labelled):
    listing = Listing.of(labelled.found, labelled.skipped, b"/d")
    return [
        (path.decode(), listing.classes[label] if label >= 0 else None, str(split))
        for path, label, split in zip(listing.paths, listing.labels, listing.splits, strict=True)
    ]


def table(path, /, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_files_of_the_hub_with_class_names_parts_and_digests(tmp_path):
    (tmp_path / "data").mkdir()
    names = list(FILES)
    parquet_of({name: FILES[name] for name in names[:6]}, tmp_path / "data" / "train-00000-of-00001.parquet")
    parquet_of({name: FILES[name] for name in names[6:]}, tmp_path / "data" / "test-00000-of-00001.parquet")
    labelled = read(tmp_path)
    assert labelled.root == os.fsencode(tmp_path.resolve() / "data")
    first = "train-00000-of-00001.parquet"
    assert rows(labelled)[-6:] == [
        *((f"{first}/ants/{i}.jpg", "ants", "train") for i in range(4)),
        *((f"{first}/bees/{i}.jpg", "bees", "train") for i in range(2)),
    ]
    assert (labelled.labels_from, labelled.parts_from) == (
        "2 classes from column 'label'",
        "train and test from the names of files",
    )
    hashed = hash_files(addresses([labelled.root + b"/" + path for path in labelled.found.paths]))
    assert [h.digest for h in hashed] == [
        hashlib.sha256(FILES[path.decode().partition("/")[2]]).digest() for path in labelled.found.paths
    ]
    assert [(h.size, h.mtime) for h in hashed] == list(zip(labelled.found.sizes, labelled.found.mtimes, strict=True))


def test_plain_bytes_text_labels_and_a_column_of_parts(tmp_path):
    path = table(
        tmp_path / "a.parquet",
        picture=JPEG[:3],
        label=["cat", None, "dog"],
        split=["train", "test", "dev"],
        n=[1, 2, 3],
    )
    labelled = read(path)
    assert rows(labelled) == [
        ("a.parquet/0", "cat", "train"),
        ("a.parquet/1", None, "test"),
        ("a.parquet/2", "dog", "val"),
    ]
    assert (
        labelled.notes == ["columns not used: n"] and labelled.parts_from == "train, val and test from column 'split'"
    )


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


def test_rows_without_an_image_are_left_out_and_said(tmp_path):
    path = table(tmp_path / "a.parquet", image=[JPEG[0], None], label=[1, 1])
    labelled = read(path)
    assert [row[0] for row in rows(labelled)] == ["a.parquet/0"]
    assert "1 rows without an image left out (such as a.parquet/1)" in labelled.notes


def test_a_label_beyond_the_names_is_refused_and_minus_one_is_none(tmp_path):
    about = {b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["a"]}}}}).encode()}
    made = pa.table({"image": JPEG[:2], "label": [0, -1]})
    pq.write_table(made.replace_schema_metadata(about), tmp_path / "a.parquet")
    assert [row[1] for row in rows(read(tmp_path / "a.parquet"))] == ["a", None]
    made = pa.table({"image": JPEG[:2], "label": [0, 5]})
    pq.write_table(made.replace_schema_metadata(about), tmp_path / "b.parquet")
    with pytest.raises(ImageSetError, match=r"b\.parquet/1 has the label 5, and the file names 1 classes"):
        read(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"path": ["a.jpg"], "label": [1]}, "holds no images: it has the columns path, label, none of them of bytes"),
        ({"vector": [b"\1\2\3"], "label": [1]}, r"bytes in its column 'vector' begin with unknown bytes 01 02 03"),
        ({"image": JPEG[:1], "label": [[1, 2]]}, r"column 'label' holds '\[1, 2\]'"),
        ({"image": JPEG[:1], "split": ["fold7x"]}, r"has the part 'fold7x'; expected train, val, test"),
        ({"image": pa.array([], pa.binary())}, "have no row with an image"),
    ],
)
def test_parquet_files_without_usable_images_are_refused(tmp_path, columns, match):
    with pytest.raises(ImageSetError, match=match):
        read(table(tmp_path / "a.parquet", **columns))


def test_what_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"path,label")
    with pytest.raises(ImageSetError, match=r"a\.parquet cannot be read: not a Parquet file"):
        read(tmp_path / "a.parquet")
    with pytest.raises(ImagesNotFoundError, match="does not exist"):
        read(tmp_path / "b.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageSetError, match=r"holds no \.parquet file"):
        read(tmp_path / "empty")


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_flipped_and_cut_files_never_raise_anything_else(tmp_path, data):
    path = parquet_of(pictures(2), tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        labelled = read(path)
    except (OSError, ImageSetError):
        return
    hash_files(addresses([labelled.root + b"/" + name for name in labelled.found.paths]))
