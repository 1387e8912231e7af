"""The paths that a cell may mean."""

import pytest
from hypothesis import given, strategies as st

from featstore.lists.spellings import loose, normal, spellings


@pytest.mark.parametrize(
    ("cell", "paths"),
    [
        ("a/b.jpg", [b"a/b.jpg"]),
        ("./a//b.jpg", [b"a/b.jpg"]),
        (" a.jpg ", [b" a.jpg ", b"a.jpg"]),
        ("a.jpg\n", [b"a.jpg\n", b"a.jpg"]),
        ("'a.jpg'", [b"'a.jpg'", b"a.jpg"]),
        (r"a\b.jpg", [rb"a\b.jpg", b"a/b.jpg"]),
        (r"C:\a\b.jpg", [rb"C:\a\b.jpg", b"C:/a/b.jpg"]),
        ("file:///a/b%20c.jpg", [b"file:/a/b%20c.jpg", b"/a/b c.jpg"]),
        ("gr\udcfcn.jpg", [b"gr\xfcn.jpg", "grün.jpg".encode()]),
        ("grün.jpg", ["grün.jpg".encode()]),
        ("", [b""]),
    ],
)
def test_the_most_literal_comes_first(cell, paths):
    assert [path for path, _ in spellings(cell)] == paths


def test_the_suffix_is_added_where_it_lacks():
    assert [path for cell in ("a", "a.JPG", "a.png") for path, _ in spellings(cell, ".jpg")] == [
        b"a.jpg", b"a.JPG", b"a.png.jpg",
    ]  # fmt: skip


@given(st.binary(max_size=20))
def test_any_bytes_are_among_their_own_spellings(name):
    assert normal(name) in [path for path, _ in spellings(name.decode("utf-8", "surrogateescape"))]


@given(st.text(max_size=12))
def test_any_text_has_spellings(cell):
    assert spellings(cell)


def test_loose_names_leave_capitals_forms_and_encodings_out():
    names = ["GRÜN.JPG".encode(), "gru\u0308n.jpg".encode(), b"gr\xfcn.jpg", b"GR\xdcN.jpg"]
    assert len(set(map(loose, names))) == 1
    assert loose(b"a.jpg") != loose(b"b.jpg")
