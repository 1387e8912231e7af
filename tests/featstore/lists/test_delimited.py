"""Cells of a text: every dialect that the csv module or pandas writes comes back as it was."""

import csv
import io

import pytest
from hypothesis import given, strategies as st

from featstore.errors import ImageSetError
from featstore.lists.delimited import named_like_image, read_delimited

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)
names = st.text(st.sampled_from("abc é,;|\t\"'-_ (1)/"), min_size=1, max_size=8).map(lambda name: f"x{name}.jpg")


@given(
    rows=st.lists(st.tuples(names, cells), min_size=2, max_size=8),
    mark=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    header=st.booleans(),
)
def test_what_is_written_comes_back(rows, mark, end, quoting, header):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, lineterminator=end, quoting=quoting)
    if quoting != csv.QUOTE_ALL:  # the writer leaves a line end of another kind without quotes
        rows = [(path, label.replace("\r", "").replace("\n", "")) for path, label in rows]
    writer.writerows([("path", "label")] * header + rows)
    # told by the first line where cells could be read two ways, as "a,b;c" can
    found = read_delimited(f"sep={mark}{end}" + file.getvalue(), "a.csv")
    # the csv module reads every end of line within quotes as it stands
    assert [tuple(row) for row in found.rows] == [("path", "label")] * header + rows


@given(
    rows=st.lists(st.tuples(st.text("abc/_", min_size=1), st.text("xyz 12,;", max_size=6)), min_size=2, max_size=9),
    mark=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_the_separator_is_found_out(rows, mark, end):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, lineterminator=end)
    writer.writerows([("path", "label"), *((f"{path}.jpg", label) for path, label in rows)])
    found = read_delimited(file.getvalue(), "a.csv")
    assert [tuple(row) for row in found.rows[1:]] == [(f"{path}.jpg", label) for path, label in rows]


@pytest.mark.parametrize(
    ("text", "rows", "separator"),
    [
        ("path,label\na;b.jpg,x|y\n", [["path", "label"], ["a;b.jpg", "x|y"]], "commas"),
        ("path;score\na.jpg;0,5\nb.jpg;1,5\n", [["path", "score"], ["a.jpg", "0,5"], ["b.jpg", "1,5"]], "semicolons"),
        ("a.jpg;0,5;cat\nb.jpg;1,5;dog\n", [["a.jpg", "0,5", "cat"], ["b.jpg", "1,5", "dog"]], "semicolons"),
        ("a.jpg\tgolden retriever\n", [["a.jpg", "golden retriever"]], "tabs"),
        ("n01/a.JPEG 0\nn02/b.JPEG 1", [["n01/a.JPEG", "0"], ["n02/b.JPEG", "1"]], "spaces"),
        ("a.jpg   0\t\n b.jpg 1\n", [["a.jpg", "0"], ["b.jpg", "1"]], "spaces"),
        ("my cat.jpg 3\ndog.jpg 4\n", [["my cat.jpg", "3"], ["dog.jpg", "4"]], "spaces"),
        ("a.jpg golden retriever\nb.jpg pug\n", [["a.jpg", "golden retriever"], ["b.jpg", "pug"]], "spaces"),
        ('"path" "label"\n"1" "a b.jpg" "x"\n', [["path", "label"], ["1", "a b.jpg", "x"]], "spaces"),
        (
            "| path | label |\n|---|:-:|\n| a.jpg | x |\n",
            [["", " path ", " label ", ""], ["", " a.jpg ", " x ", ""]],
            "bars",
        ),
        ("my cat.jpg\nthe dog 2.jpg\n", [["my cat.jpg"], ["the dog 2.jpg"]], ""),
        ("a.jpg\nb.jpg\n", [["a.jpg"], ["b.jpg"]], ""),
        ('"a.jpg"\n"b ""c"".jpg"\n', [["a.jpg"], ['b "c".jpg']], ""),
        ('path, label\na.jpg, "cat, red"\n', [["path", "label"], ["a.jpg", "cat, red"]], "commas"),
        ("path,label\n\n , \na.jpg,\n\n", [["path", "label"], ["a.jpg", ""]], "commas"),
    ],
)
def test_separators_as_people_use_them(text, rows, separator):
    found = read_delimited(text, "a.csv")
    assert (found.rows, found.separator) == (rows, separator)


def test_lines_are_counted_as_in_an_editor():
    found = read_delimited('sep=;\r\n\r\npath;label\r\n"a\r\nb.jpg";x\r\n\r\nc.jpg;y\r\n', "a.csv")
    assert found.lines == [3, 5, 7]


@pytest.mark.parametrize(
    ("text", "rows", "comments"),
    [
        ("# made by me\npath,label\na.jpg,x\n", [["path", "label"], ["a.jpg", "x"]], 1),
        ('# don\'t, "quote" me\npath,label\na.jpg,x\n', [["path", "label"], ["a.jpg", "x"]], 1),
        ("# path label\na.jpg 1\nb.jpg 2\n", [["path", "label"], ["a.jpg", "1"], ["b.jpg", "2"]], 0),
        ("#1.jpg,x\n2.jpg,y\n3.jpg,y\n", [["#1.jpg", "x"], ["2.jpg", "y"], ["3.jpg", "y"]], 0),
        ("#a,x\n#b,y\n", [["#a", "x"], ["#b", "y"]], 0),
    ],
)
def test_comments_are_left_out_and_counted_and_files_are_not(text, rows, comments):
    found = read_delimited(text, "a.csv")
    assert (found.rows, found.comments) == (rows, comments)


def test_quotes_that_are_not_closed_are_named_with_their_line():
    with pytest.raises(ImageSetError, match=r"a.csv, line 3: .*expected plain CSV, quotes closed"):
        read_delimited('path,label\na.jpg,x\n"0.jpg,a\n', "a.csv")


def test_names_of_images():
    assert [named_like_image(name) for name in ("a.JPG", "a.jpeg ", '"a.png"', "a.txt", "jpg", "")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
