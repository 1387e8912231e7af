"""Tables: the header, the width, and every kind of file."""

import gzip
import io

import pytest
from hypothesis import given, strategies as st

from featstore.errors import FeatstoreError, ImageSetError
from featstore.images import tree
from featstore.lists import table as module
from featstore.lists.table import read_table


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("path,label\na.jpg,x\n", ("path", "label")),
        (" path , label \na.jpg,x\n", ("path", "label")),
        ("breed,dog\nbeagle,a.jpg\n", ("breed", "dog")),
        ("one,two\n1,2\n3,4\n", ("one", "two")),
        (",0\na.jpg,cat\n", ("", "0")),
        (",path,label\n0,a.jpg,x\n1,b.jpg,x\n", ("", "path", "label")),
        ("path,label\n0,a.jpg,x\n1,b.jpg,x\n", ("", "path", "label")),
        ("path,label,\na.jpg,x,\n", ("path", "label")),
        ("path,label\na.jpg,x,\n", ("path", "label")),
        ("image\na00\na01\n", ("image",)),
        ("path\ra.jpg\r", ("path",)),
    ],
)
def test_a_header_is_one(text, columns):
    table = read_table(text.encode(), b"a.csv")
    assert (table.columns, table.headed) == (columns, True)
    assert all(len(row) == len(columns) for row in table.rows)


@pytest.mark.parametrize(
    "text", ["a.jpg,x\nb.jpg,y\n", "1,2\n3,4\n", "a00 cat\na01 dog\n", "a00,cat\na01,dog\na02,cat\n", "a00\na01\n"]
)
def test_a_row_is_no_header(text):
    table = read_table(text.encode(), b"a.txt")
    assert table.columns == tuple(str(n + 1) for n in range(len(table.rows[0]))) and not table.headed
    assert len(table.rows) == len(text.splitlines()) and table.lines[0] == 1
    assert table.title(0) == "column 1"


def test_a_header_can_become_a_row():
    table = read_table(b"a00,cat\na01,dog\n", b"a.csv")
    assert table.headed and table.title(1) == "column 'cat'"
    back = table.unheaded()
    assert (back.rows, back.lines, back.headed) == ([["a00", "cat"], ["a01", "dog"]], [1, 2], False)


def test_short_rows_are_filled_and_long_ones_refused_with_their_line():
    assert read_table(b"path,label,split\na.jpg\nb.jpg,x\n", b"a.csv").rows == [["a.jpg", "", ""], ["b.jpg", "x", ""]]
    with pytest.raises(ImageSetError, match=r"a.csv, line 3 has 3 cells where there are 2 columns \('path', 'label'\)"):
        read_table(b"path,label\na.jpg,x\na,b.jpg,x\n", b"a.csv")
    with pytest.raises(ImageSetError, match="put a cell that holds the separator in quotes"):
        read_table(b"path,label\nphotos/a00.jpg,ant,red\n", b"a.csv")


def test_files_within_gzip(monkeypatch):
    packed = gzip.compress(b"path,label\na.jpg,x\n")
    assert read_table(packed, b"a.csv.gz").rows == [["a.jpg", "x"]]
    with pytest.raises(ImageSetError, match="ends too early"):
        read_table(packed[:-4], b"a.csv.gz")
    with pytest.raises(ImageSetError, match="damaged gzip file"):
        read_table(packed[:10] + b"\xff" * 9, b"a.csv.gz")
    monkeypatch.setattr(module, "LIST_BYTES", 5)
    with pytest.raises(ImageSetError, match="holds more than 0 MiB"):
        read_table(packed, b"a.csv.gz")
    assert tree.LIST_BYTES > 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.csv is empty; expected one row an image"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf\n", "holds no row"),
        (b"PK\x03\x04....xl/workbook.xml", "is an Excel workbook; expected a list .*: save the sheet as CSV UTF-8"),
        (b"SQLite format 3\0", "is an SQLite database"),
        (b"a,b\0", "holds zero bytes"),
    ],
)
def test_what_is_no_list_is_refused_in_words(content, message):
    with pytest.raises(ImageSetError, match=message):
        read_table(content, b"a.csv")


def test_comments_are_noted():
    assert read_table(b"# mine\npath,label\na.jpg,x\n", b"a.csv").notes == [
        "1 line that begins with # was taken for a comment"
    ]


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_dialect_of_pandas(index, mark, encoding, end):
    """As DataFrame.to_csv writes them."""
    frame = [["", "path", "label"], ["0", "a b.jpg", 'the "cat"'], ["1", "ü.jpg", "x,y;z"]]
    quoted = [
        [f'"{cell.replace(chr(34), chr(34) * 2)}"' if set(cell) & {mark, '"'} else cell for cell in row[1 - index :]]
        for row in frame
    ]
    text = end.join(mark.join(row) for row in quoted) + end
    found = read_table(text.encode(encoding), b"a.csv")
    assert [list(found.columns), *found.rows] == [row[1 - index :] for row in frame]


@given(
    st.binary(max_size=50), st.sampled_from([b"", b"\xff\xfe", b"PAR1", b"\x1f\x8b\x08", b"ARROW1", b"{", b"[", b"#"])
)
def test_any_bytes_are_a_table_or_a_sentence(content, before):
    try:
        table = read_table(before + content, b"a.csv")
    except FeatstoreError as error:
        assert str(error).startswith("a.csv")
    else:
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert len(table.lines) == len(table.rows)


@given(st.lists(st.text("ab,;|\t \"'\n\r#{}[]:01/.jpg\udc80", max_size=12), max_size=6))
def test_any_text_is_a_table_or_a_sentence(lines):
    file = io.StringIO("\n".join(lines))
    try:
        table = read_table(file.getvalue().encode("utf-8", "surrogateescape"), b"a.csv")
    except FeatstoreError as error:
        assert str(error).startswith("a.csv")
    else:
        assert all(len(row) == len(table.columns) for row in table.rows)
