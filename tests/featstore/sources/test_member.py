import posixpath

import pytest
from hypothesis import given, strategies as st

from featstore.sources.member import harmless


@pytest.mark.parametrize(
    ("name", "path"),
    [(b"a/b.jpg", b"a/b.jpg"), (b"./a//b.jpg", b"a/b.jpg"), (b"a/./b/", b"a/b"), (b".", b""), (b".x/b", b".x/b")],
)
def test_a_name_has_one_spelling(name, path):
    assert harmless(name) == (path, "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"/etc/passwd", "absolute"),
        (b"C:/windows", "absolute"),
        (b"../a", "leads out"),
        (b"a/../../b", "leads out"),
        (b"a/..", "leads out"),
        (b"a\0b", "zero byte"),
    ],
)
def test_a_name_that_is_not_used_is_told(name, reason):
    assert reason in harmless(name)[1]


@given(st.lists(st.sampled_from([b"a", b"..", b".", b"", b"b.jpg", b"..."]), min_size=1, max_size=6).map(b"/".join))
def test_what_is_used_stays_inside(name):
    path, reason = harmless(name)
    if not reason:
        assert path == b"" or posixpath.normpath(b"/x/" + path) == b"/x/" + path
