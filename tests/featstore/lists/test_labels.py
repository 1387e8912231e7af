"""Labels: empty ones, numbers and their names, a column a class, several in a cell."""

from itertools import combinations

import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError
from featstore.lists.labels import clean_labels, is_number, named_labels, one_hot_labels, several_in_one
from featstore.lists.table import read_table


def test_empty_cells_are_no_labels_and_how_they_are_spelt_is_told():
    labels, notes = clean_labels(["cat", "", "  ", "nan", "NaN", "NA", "None", "null", "<NA>", "none", "Nan"])
    assert labels == ["cat", *[None] * 8, "none", "Nan"]
    assert notes == ["6 labels are empty ('nan', 'NaN', 'NA')"]


def test_whole_numbers_of_pandas_lose_their_point_and_others_keep_it():
    assert clean_labels(["3.0", "", "10.0", "-1.0"])[0] == ["3", None, "10", "-1"]
    assert clean_labels(["3.0", "2.5"])[0] == ["3.0", "2.5"]
    assert clean_labels(["1.0", "cat"])[0] == ["1.0", "cat"]


def test_one_name_in_two_unicode_forms_is_one():
    assert clean_labels(["gr\u00fcn", "gru\u0308n"])[0] == ["grün", "grün"]


def test_quotes_around_every_label_are_no_part_of_them():
    assert clean_labels(["'cat'", "'dog'", ""])[0] == ["cat", "dog", None]
    assert clean_labels(["'cat'", "dog"])[0] == ["'cat'", "dog"]


def test_bytes_of_windows_are_read_and_told():
    labels, notes = clean_labels([b"caf\xe9".decode("utf-8", "surrogateescape"), "tea"])
    assert labels == ["café", "tea"]
    assert notes == [
        "1 label not in UTF-8 read as Windows-1252, such as 'café'; save the list as UTF-8 if that is wrong"
    ]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5)))
def test_labels_stay_as_many_and_nothing_else_is_changed(cells):
    labels, _ = clean_labels(cells)
    assert len(labels) == len(cells)
    assert all(label is None or label.strip() == label for label in labels)
    assert len({c.strip() for c in cells}) + 1 >= len(set(labels))


def test_numbers_show_their_names():
    table = read_table(b"path,label,label_name\na,3,cat\nb,1,dog\nc,3,\nd,,\ne,7,\n", b"a.csv")
    assert named_labels(table, 1, 2)[0] == ["cat", "dog", "cat", None, "7"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "a,3,cat\nb,3,dog\n",
            "do not agree: 3 is 'cat' on line 2 and 'dog' on line 3; correct them, or take the names",
        ),
        ("a,3,cat\nb,4,cat\n", "do not agree: 'cat' is 3 on line 2 and 4 on line 3"),
    ],
)
def test_numbers_and_names_that_do_not_agree_are_refused(rows, message):
    with pytest.raises(ImageSetError, match=message):
        named_labels(read_table(b"path,label,label_name\n" + rows.encode(), b"a.csv"), 1, 2)


def test_one_column_a_class():
    table = read_table(b"image,MEL,NV\na,1.0,0.0\nb,0,1\n", b"a.csv")
    assert one_hot_labels(table, [1, 2]) == ["MEL", "NV"]
    for row, which in (("0,0", "none is 1"), ("1,1", "1 stands in 'MEL' and 'NV'")):
        with pytest.raises(
            ImageSetError, match=rf"column of 0 and 1 for each class \('MEL', 'NV'\), and on line 2 {which}"
        ):
            one_hot_labels(read_table(f"image,MEL,NV\na,{row}\n".encode(), b"a.csv"), [1, 2])


@pytest.mark.parametrize(
    ("labels", "how"),
    [
        (["ant,red", "ant,small", "bee,red"], "commas"),
        (["ant|red", "ant"], "bars"),
        (["ant; red", "bee; red"], "semicolons"),
        ([" ".join(words) for words in combinations(["haze", "clear", "water", "road", "bare"], 2)], "spaces"),
        (['["ant", "red"]', '["bee"]'], "as lists"),
        (["['ant', 'red']"], "as lists"),
    ],
)
def test_several_labels_in_a_cell_are_doubted(labels, how):
    note = several_in_one(labels)
    assert note.startswith("labels look like several (") and how in note


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog", None],
        ["golden retriever", "labrador retriever", "border collie", "border terrier", "beagle"],
        ["tench, Tinca tinca", "goldfish, Carassius auratus"],
        ["red fox", "red panda", "cat"],
        ["animal/cat", "animal/dog", "car"],
        [],
    ],
)
def test_names_of_several_words_are_not(labels):
    assert several_in_one(labels) is None


def test_numbers():
    assert all(map(is_number, ["3", " -3.0", "+7"])) and not any(map(is_number, ["", "3a", "nan"]))


@pytest.mark.parametrize(
    "labels",
    [
        ["147 616", "51", "51 147"],
        ["cat+dog", "cat", "dog"],
        ["a/b", "a", "c/a"],
        ["cat|dog", "dog|bird", "cat"],
        ["cat dog", "dog bird", "bird cat"],
        ["cat dog", "cat bird", "cat"],
        ["['a', 'b']", "x"],
    ],
)
def test_cells_made_of_other_rows_labels_are_doubted(labels):
    assert several_in_one(labels).startswith("labels look like several (")
