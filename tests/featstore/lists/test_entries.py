"""Rows as images with one label each: doubles, missing files, strange lists, comments."""

import pytest

from featstore.errors import ImageSetError
from featstore.images.reading import Reading
from featstore.images.tree import Tree
from featstore.lists.columns import Columns
from featstore.lists.entries import (
    drop_comments,
    files_named,
    read_entries,
    refuse_missing,
    refuse_strange,
    require_labels,
)  # fmt: skip
from featstore.lists.resolution import Resolved
from featstore.lists.table import read_table


def inputs(rows: str, there="ab", split=False):
    table = read_table(f"path,label{',split' * split}\n{rows}".encode(), b"a.csv")
    cells = table.column(0)
    resolved = Resolved(b"/d", paths=[c.encode() for c in cells], found=[c in there for c in cells])
    return table, Columns(0, label=1, parts=[2] * split), resolved


def test_the_same_row_twice_is_one_image():
    entries = read_entries(*inputs("a,x\nb,y\na,x\na,\n"))
    assert entries.rows == [0, 1]
    assert entries.notes == ["2 rows name an image that is listed before, with the same label"]
    assert entries.labels_from == "column 'label'"


def test_the_row_that_says_more_stays():
    table, columns, resolved = inputs("a,,\na,x,\na,x,test\nb,y,\n", split=True)
    entries = read_entries(table, columns, resolved)
    assert [(entries.labels[row], entries.parts[row]) for row in entries.rows] == [("x", "test"), ("y", "")]


@pytest.mark.parametrize(
    ("rows", "split", "message"),
    [
        (
            "a,x\nb,y\na,y\n",
            False,
            r"a.csv gives 1 image two labels: a is 'x' on line 2 and 'y' on line 4; an image has one",
        ),
        (
            "a,x,train\na,x,test\n",
            True,
            "gives 1 image two parts: a is 'train' on line 2 and 'test' on line 3; keep one",
        ),
        ("a,x\n,y\n ,y\n", False, r"a.csv has 2 rows \(line 3, line 4\) without a path; give every image a path"),
    ],
)
def test_what_contradicts_itself_is_refused_with_its_lines(rows, split, message):
    with pytest.raises(ImageSetError, match=message):
        read_entries(*inputs(rows, split=split))


def test_a_path_that_fits_several_files_is_refused_with_both():
    table, columns, resolved = inputs("a,x\n")
    resolved.several = {0: [b"/d/a.jpg", b"/d/a.png"]}
    with pytest.raises(ImageSetError, match=r"'a' fits /d/a.jpg and /d/a.png\); say `suffix=\".jpg\"`, or write whole"):
        read_entries(table, columns, resolved)
    resolved.several = {0: [b"/d/x/a.jpg", b"/d/y/a.jpg"]}
    with pytest.raises(ImageSetError, match=r"say the folder that paths start from with `root=\"FOLDER\"`"):
        read_entries(table, columns, resolved)


def test_a_list_without_labels_needs_the_users_word():
    table, columns, resolved = inputs("a,\nb,nan\n")
    entries = read_entries(table, columns, resolved)
    require_labels(table, entries, columns, Reading(unlabelled=True))
    with pytest.raises(
        ImageSetError, match=r"no row of a.csv has a label \(column 'label' is empty\); .*`unlabelled=True`"
    ):
        require_labels(table, entries, columns, Reading())
    with pytest.raises(ImageSetError, match=r"\(it has no column of labels\)"):
        require_labels(table, entries, Columns(0), Reading())


def test_some_missing_files_pass_and_most_do_not():
    refuse_missing(*inputs("a,x\nb,y\nq,y\n"), [b"/d"])
    with pytest.raises(ImageSetError) as caught:
        refuse_missing(*inputs("a,x\nq1,y\nq2,y\nq3,x\nq4,x\n"), [b"/d", b"/cwd"])
    assert str(caught.value) == (
        "a.csv: 4 of 5 files in column 'path' are not there (line 3: 'q1', line 4: 'q2', line 5: 'q3', ...); looked in "
        '/d and /cwd; say what the paths lack with `suffix=".jpg"`, or the folder that paths start from with '
        '`root="FOLDER"`, relative to the working directory, or which column holds the paths with '
        '`path_column="NAME"`'
    )


def test_a_list_of_other_images_is_refused_with_examples():
    table, columns, _ = inputs("a,x\nq,y\nr,y\n")
    tree = Tree(b"/d", [b"a", b"b", b"c"], [1] * 3, [0] * 3)
    refuse_strange(table, columns, tree, [1], {b"a", b"b"})
    refuse_strange(table, columns, tree, [1, 2], {b"a", b"b"})  # the list of more images than are here
    refuse_strange(table, columns, tree, [1], {b"a"})  # the list of some of them
    message = (
        "a.csv seems to be the list of other images: 1 of its 3 rows are among the 3 images of /d; it names 'q', 'r', "
        "there are b, c; expected paths that end as those of the images do"
    )
    with pytest.raises(ImageSetError, match=message):
        refuse_strange(table, columns, tree, [1, 2], {b"a"})


def test_rows_that_begin_with_a_hash_and_are_no_file_are_comments():
    table, columns, resolved = inputs("a,x\n#b,y\n#c,y\nb,y\nd,x\n", there=["a", "#b", "b"])
    table.rows.insert(1, ["#b", "y"])
    table.lines.insert(1, 3)
    resolved.paths.insert(1, b"#b")
    resolved.found.insert(1, True)
    table.rows.insert(2, ["#c", "y"])
    table.lines.insert(2, 4)
    resolved.paths.insert(2, b"#c")
    resolved.found.insert(2, False)
    resolved.several = {len(table.rows) - 1: [b"d1", b"d2"]}
    drop_comments(table, columns, resolved)
    assert [row[0] for row in table.rows] == ["a", "#b", "b", "d"]
    assert (len(table.lines), resolved.paths, list(resolved.several)) == (4, [b"a", b"#b", b"b", b"d"], [3])
    assert table.notes[-1] == "1 row that begins with # left out as comments"


def test_rows_by_their_files():
    table, columns, _ = inputs("a,x\nb,y\n")
    assert files_named(table, columns, [1]) == "1 of 2 files named (line 3: 'b') is"
