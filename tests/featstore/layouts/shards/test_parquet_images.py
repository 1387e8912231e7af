"""Images in Parquet files, whole or damaged."""

import hashlib
import os

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from featstore.errors import ImageSetError, ImagesNotFoundError
from featstore.images.hashing import hash_files
from featstore.sources.addresses import addresses
from tests.support.archives import parquet_of, pictures
from tests.support.shards import read, rows, table

FILES = pictures()
JPEG = list(FILES.values())


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


def test_rows_without_an_image_are_left_out_and_said(tmp_path):
    path = table(tmp_path / "a.parquet", image=[JPEG[0], None], label=[1, 1])
    labelled = read(path)
    assert [row[0] for row in rows(labelled)] == ["a.parquet/0"]
    assert "1 rows without an image left out (such as a.parquet/1)" in labelled.notes


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


def test_a_file_whose_names_are_damaged_is_said_to_be_damaged(tmp_path):
    path = parquet_of(pictures(2), tmp_path / "a.parquet")
    content, refused = bytearray(path.read_bytes()), []
    for at in range(len(content) - 8, max(0, len(content) - 1200), -7):
        content[at] ^= 1
        path.write_bytes(content)
        content[at] ^= 1
        try:
            read(path)
        except ImageSetError as error:
            refused.append(str(error))
    assert any("damaged" in sentence for sentence in refused)


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
