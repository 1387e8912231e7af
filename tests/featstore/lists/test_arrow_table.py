"""Lists as Parquet and Arrow files, written by pyarrow itself."""

import json

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from featstore.errors import ImageSetError, MissingExtraError
from featstore.lists import arrow_table
from featstore.lists.arrow_table import is_arrow, read_arrow

TABLE = {"path": ["a.jpg", "b.jpg"], "label": ["cat", None], "size": [3, None], "w": [1.0, 0.5], "ok": [True, False]}
ROWS = [["a.jpg", "cat", "3", "1", "True"], ["b.jpg", "", "", "0.5", "False"]]


def as_parquet(table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def as_feather(table) -> bytes:
    sink = pa.BufferOutputStream()
    feather.write_feather(table, sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("write", [as_parquet, as_feather])
def test_cells_are_text(write):
    content = write(pa.table(TABLE))
    assert is_arrow(content)
    assert read_arrow(content, "a") == (tuple(TABLE), ROWS)


def test_dictionaries_structures_lists_and_the_index_of_pandas():
    table = pa.table(
        {
            "image": [{"path": "a.jpg", "width": 3}],
            "label": pa.array(["cat"]).dictionary_encode(),
            "tags": [["x", "y"]],
            "__index_level_0__": [7],
        }
    )
    columns, rows = read_arrow(as_parquet(table), "a")
    assert columns == ("image.path", "image.width", "label", "tags", "")
    assert rows == [["a.jpg", "3", "cat", '["x", "y"]', "7"]]


def test_class_names_of_the_hubs_header_are_shown():
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "path": {"dtype": "string"}}
    table = pa.table({"path": ["a", "b"], "label": [1, 0]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    assert read_arrow(as_parquet(table), "a")[1] == [["a", "dog"], ["b", "cat"]]
    damaged = table.replace_schema_metadata({"huggingface": "{"})
    assert read_arrow(as_parquet(damaged), "a")[1] == [["a", "1"], ["b", "0"]]


def test_pictures_damage_and_size_are_refused_in_words(monkeypatch):
    pictures = pa.table({"image": [{"bytes": b"x", "path": "a.jpg"}]})
    with pytest.raises(ImageSetError, match=r"column 'image.bytes' holds bytes, which are the pictures themselves"):
        read_arrow(as_parquet(pictures), "a")
    for content in (as_parquet(pa.table(TABLE))[:-9], b"ARROW1.."):
        with pytest.raises(ImageSetError, match="a cannot be read as a table: .*; write it again, or as CSV"):
            read_arrow(content, "a")
    monkeypatch.setattr(arrow_table, "LIST_BYTES", 10)
    with pytest.raises(ImageSetError, match="a unpacks to .* MiB, expected a list of at most"):
        read_arrow(as_parquet(pa.table(TABLE)), "a")


def test_without_pyarrow_the_sentence_holds_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="to read it run: pip install pyarrow"):
        read_arrow(b"PAR1", "a")
