import pytest

from classifiers.inspection.file_names import distinct_names, output_folder, slug
from featstore.errors import OutputExistsError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Egyptian cat", "egyptian-cat"),
        ("../../etc/passwd", "etc-passwd"),
        ("crane (2)", "crane-2"),
        ("猫", "猫"),
        ("Ka\u0308tzchen Ü", "kätzchen-ü"),
        ("猫" * 60, "猫" * 40),
        ("\u202e<>", "unnamed"),
        ("a" * 59 + " b", "a" * 59),
        ("a" * 200, "a" * 60),
        ("con\n<b>", "con-b"),
    ],
)
def test_any_text_becomes_a_plain_file_name(text, name):
    assert slug(text) == name


def test_names_are_different_also_where_capitals_do_not_count():
    assert distinct_names([b"a/Cat.jpg", b"b/cat.png", b"c/cat-2.png", b"\xff.png"]) == [
        "cat",
        "cat-2",
        "cat-2-2",
        "unnamed",
    ]


def test_room_is_made_and_what_is_there_is_kept(tmp_path):
    folder = tmp_path / "a" / "b"
    with output_folder(folder, ["x.png"], overwrite=False):
        assert folder.is_dir()
    (folder / "x.png").write_text("old")
    with output_folder(folder, ["y.png"], overwrite=False):
        pass
    with (
        pytest.raises(OutputExistsError, match=r"x\.png exists already; name another folder or add `overwrite=True`"),
        output_folder(folder, ["y.png", "x.png"], overwrite=False),
    ):
        pass
    with output_folder(folder, ["x.png"], overwrite=True):
        assert (folder / "x.png").read_text() == "old"
    with (
        pytest.raises(OutputExistsError, match=r"x\.png is a file"),
        output_folder(folder / "x.png", [], overwrite=True),
    ):
        pass


@pytest.mark.parametrize("written", [False, True])
def test_a_failure_leaves_no_empty_folder_but_what_was_written(tmp_path, written):
    folder = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt), output_folder(folder, ["x.png"], overwrite=False):
        if written:
            (folder / "x.png").write_text("done")
        raise KeyboardInterrupt
    assert folder.exists() == written
