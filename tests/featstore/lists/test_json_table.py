"""Lists as JSON in every shape that pandas and people write."""

import json

import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError
from featstore.lists.json_table import looks_like_json, read_json

ROWS = [["a.jpg", "cat"], ["b.jpg", "dog"]]
OBJECTS = [{"path": path, "label": label} for path, label in ROWS]


@pytest.mark.parametrize(
    "document",
    [
        OBJECTS,
        {"path": ["a.jpg", "b.jpg"], "label": ["cat", "dog"]},
        {"path": {"0": "a.jpg", "1": "b.jpg"}, "label": {"0": "cat", "1": "dog"}},
        {"columns": ["path", "label"], "index": [0, 1], "data": ROWS},
        {"images": OBJECTS},
        {"a.jpg": "cat", "b.jpg": "dog"},
        {"a.jpg": {"label": "cat"}, "b.jpg": {"label": "dog"}},
        {"cat": ["a.jpg"], "dog": ["b.jpg"]},
        ROWS,
    ],
    ids=["records", "lists", "columns", "split", "wrapped", "pairs", "index", "classes", "rows"],
)
def test_every_shape_gives_the_same_rows(document):
    found = read_json(json.dumps(document, indent=1), "a.json")
    assert found.rows == ROWS
    assert found.columns in (("path", "label"), None)


def test_json_lines_have_their_lines_and_nested_fields():
    text = '{"path": "a.jpg", "label": {"id": 3, "name": "cat"}}\n\n{"path": "b.jpg", "split": null}\n'
    found = read_json(text, "a.jsonl")
    assert found.columns == ("path", "label.id", "label.name", "split")
    assert found.rows == [["a.jpg", "3", "cat", ""], ["b.jpg", "", "", ""]]
    assert (found.lines, found.unit) == ([1, 3], "line")


def test_objects_by_part_and_values_of_every_kind():
    found = read_json(json.dumps({"train": [{"file": "a", "label": 1.0}], "dev": [{"file": "b", "label": True}]}), "a")
    assert (found.columns, found.rows) == (("split", "file", "label"), [["train", "a", "1"], ["dev", "b", "True"]])
    assert read_json('[{"a": ["x"], "b": ["x", "y"], "c": 0.5}]', "a").rows == [["x", '["x", "y"]', "0.5"]]


@given(
    st.lists(st.dictionaries(st.sampled_from(["path", "label", "é x"]), st.text(max_size=9)), min_size=1, max_size=5)
)
def test_what_is_written_line_by_line_comes_back(objects):
    text = "\n".join(json.dumps(one) for one in objects)
    if len(objects) == 1:
        text = json.dumps(objects)
    if not any(objects):
        return
    found = read_json(text, "a.jsonl")
    assert [dict(zip(found.columns, row, strict=True)) for row in found.rows] == [
        {name: one.get(name, "") for name in found.columns} for one in objects
    ]


def test_a_path_that_stands_twice_in_an_object_is_not_lost():
    assert read_json('{"a.jpg": "cat", "a.jpg": "dog"}', "a").rows == [["a.jpg", "cat"], ["a.jpg", "dog"]]
    with pytest.raises(ImageSetError, match="entry 1 holds 'label' twice; keep one"):
        read_json('[{"path": "a", "label": 1, "label": 2}]', "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a.json is an empty list; expected one object an image"),
        ("{}", "holds no row"),
        ("3", "holds no row"),
        ("[1, 2]", "a.json, entry 1 is 1, no object"),
        ('{"path": "a"}\nnonsense\n', "a.json, line 2 is no JSON"),
        ("{'path': 'a'}", r"line 1 is no JSON \(Expecting property name"),
        ("[" * 100_000, "is no JSON|nested too deeply"),
        ('{"path": ["a"], "label": []}', r"its columns are not of one length \('path' 1, 'label' 0\)"),
        ('{"images": [], "annotations": [], "categories": []}', "in the form of COCO"),
    ],
)
def test_what_is_no_list_is_refused_in_words(text, message):
    with pytest.raises(ImageSetError, match=message):
        read_json(text, "a.json")


def test_json_is_known_by_name_or_by_its_first_line():
    assert looks_like_json("nonsense", b"a.JSON") and looks_like_json('[{"a":\n1}]', b"a.txt")
    assert not looks_like_json("[a].jpg,cat\n", b"a.csv") and not looks_like_json("", b"a.csv")


@pytest.mark.parametrize(
    "document",
    [
        {"train": [["a.jpg", 0], ["b.jpg", 1]], "val": [["c.jpg", 0]]},
        {"train": {"a.jpg": 0, "b.jpg": 1}, "val": {"c.jpg": 0}},
        {"train": {"0": ["a.jpg"], "1": ["b.jpg"]}, "val": {"0": ["c.jpg"]}},
    ],
)
def test_parts_as_keys_are_a_column(document):
    found = read_json(json.dumps(document), "a.json")
    assert found.columns == ("path", "label", "split")
    assert found.rows == [["a.jpg", "0", "train"], ["b.jpg", "1", "train"], ["c.jpg", "0", "val"]]


def test_rows_under_one_key_and_paths_under_parts():
    assert read_json('{"labels": [["0/a.png", 0], ["0/b.png", 1]]}', "a.json").rows == [
        ["0/a.png", "0"],
        ["0/b.png", "1"],
    ]
    found = read_json('{"train": ["a.jpg"], "test": ["b.jpg"]}', "a.json")
    assert (found.columns, found.rows) == (("path", "split"), [["a.jpg", "train"], ["b.jpg", "test"]])
    found = read_json('{"info": {"by": "me"}, "data": [{"path": "a.jpg", "label": "cat"}]}', "a.json")
    assert (found.columns, found.rows) == (("path", "label"), [["a.jpg", "cat"]])
