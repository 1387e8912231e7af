"""Image folders of the hub: one list, or one in each part folder, against an independent reading."""

import csv
import io
import json
from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from tests.support.trees import label, parts, put, reasons, rows, write

ROWS = [("a/1.jpg", "cat"), ("2.jpg", "dog"), ("3.jpg", "cat"), ("4.jpg", "dog")]


def as_csv(entries: list[tuple[str, str]]) -> bytes:
    return ("file_name,label\n" + "".join(f"{name},{kind}\n" for name, kind in entries)).encode()


def as_jsonl(entries: list[tuple[str, str]]) -> bytes:
    return "".join(json.dumps({"file_name": name, "label": kind}) + "\n" for name, kind in entries).encode()


def as_parquet(entries: list[tuple[str, str]]) -> bytes:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    out = io.BytesIO()
    names, kinds = zip(*entries, strict=True)
    parquet.write_table(arrow.table({"file_name": names, "label": kinds}), out)
    return out.getvalue()


WRITERS = {"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("wrapper", ["", "set/", "set/data/"])
def test_one_list_beside_the_images(tmp_path, ending, wrapper):
    put(tmp_path, *(wrapper + name for name, _ in ROWS), f"{wrapper}more.jpg")
    write(tmp_path, f"{wrapper}metadata.{ending}", WRITERS[ending](ROWS))
    found = label(tmp_path)
    assert rows(found) == {wrapper + name: (kind, "") for name, kind in ROWS}
    assert found.layout == "hub-folder" and f"{wrapper}more.jpg" in reasons(found)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("wrapper", ["", "data/"])
def test_one_list_in_each_part_folder(tmp_path, ending, wrapper):
    expected = {}
    for folder, part in (("train", "train"), ("validation", "val"), ("test", "test")):
        put(tmp_path, *(f"{wrapper}{folder}/{name}" for name, _ in ROWS))
        write(tmp_path, f"{wrapper}{folder}/metadata.{ending}", WRITERS[ending](ROWS))
        expected |= {f"{wrapper}{folder}/{name}": (kind, part) for name, kind in ROWS}
    found = label(tmp_path)
    assert rows(found) == expected and found.layout == "hub-folder"
    assert found.parts_from == "train, val and test from the folders of the lists"
    assert found.labels_from.startswith(f"2 classes from {wrapper}test/metadata.{ending}, {wrapper}train/metadata.")


def test_an_independent_reading_of_the_same_tree(tmp_path):
    put(tmp_path, *(f"train/{name}" for name, _ in ROWS))
    write(tmp_path, "train/metadata.csv", 'file_name,text,label\n"a/1.jpg","a cat, small",cat\n2.jpg,,dog\n')
    with Path(tmp_path, "train/metadata.csv").open(newline="") as file:
        expected = {f"train/{row['file_name']}": (row["label"], "train") for row in csv.DictReader(file)}
    assert rows(label(tmp_path)) == expected
    assert parts(label(tmp_path)) == {"train": 2}


def test_a_column_of_labels_by_name(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    write(tmp_path, "metadata.csv", "file_name,label,colour\n1.jpg,cat,black\n2.jpg,cat,white\n")
    assert {name for name, _ in rows(label(tmp_path, label_column="colour")).values()} == {"black", "white"}


def test_class_folders_with_a_list_of_other_things(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    write(tmp_path, "metadata.csv", "file_name,width,licence\ncats/1.jpg,640,CC0\ndogs/1.jpg,640,CC0\n")
    found = label(tmp_path)
    assert rows(found) == {"cats/1.jpg": ("cats", ""), "dogs/1.jpg": ("dogs", "")}
    assert found.notes == [
        "metadata.csv names no class, so the classes are those of the folders; columns not used: licence, width"
    ]


def test_a_list_without_labels_and_without_class_folders_is_refused(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    write(tmp_path, "metadata.csv", "file_name,width,height\n1.jpg,640,480\n2.jpg,320,240\n")
    with pytest.raises(ImageSetError, match=r"metadata\.csv"):
        label(tmp_path)


def test_a_list_of_something_else_is_none(tmp_path):
    put(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    write(tmp_path, "metadata.csv", "key,value\nlicence,CC0\n")
    found = label(tmp_path)
    assert found.layout == "class-folders"


def test_a_part_whose_list_has_no_labels_is_left_out(tmp_path):
    put(tmp_path, "train/0.jpg", "train/1.jpg", "test/2.jpg")
    write(tmp_path, "train/metadata.csv", "file_name,label\n0.jpg,a\n1.jpg,b\n")
    write(tmp_path, "test/metadata.csv", "file_name\n2.jpg\n")
    found = label(tmp_path)
    assert rows(found) == {"train/0.jpg": ("a", "train"), "train/1.jpg": ("b", "train")}
    assert "test/metadata.csv left out, for it has no column of labels" in found.notes[-1]
    assert rows(label(tmp_path, unlabelled=True))["test/2.jpg"] == (None, "test")


def test_parts_from_folders_where_the_list_has_labels_alone(tmp_path):
    put(tmp_path, "train/0.jpg", "train/1.jpg", "test/2.jpg")
    write(tmp_path, "metadata.csv", "file_name,label\ntrain/0.jpg,a\ntrain/1.jpg,b\ntest/2.jpg,a\n")
    found = label(tmp_path)
    assert rows(found)["test/2.jpg"] == ("a", "test") and found.parts_from == "train and test from folder names"
