"""Image lists in CSV files, and what is wrong with them."""

import os
from pathlib import Path

import pytest

from featstore.errors import ImageSetError
from featstore.images.csv_list import list_csv
from tests.support.pictures import encode, texture


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(encode(texture(number, 8, 8)))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "5.jpg").write_bytes(encode(texture(5, 8, 8)))
    return tmp_path


def read(folder: Path, text: str | bytes):
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return list_csv(os.fsencode(folder / "list.csv"), os.fsencode(folder))


def test_rows_are_sorted_and_labels_are_text(folder):
    listing = read(folder, "path,label,split\n3.jpg,1,test\nsub/5.jpg,10,\n0.jpg,2,Train\n1.jpg,2,validation\n")
    assert listing.paths == (b"0.jpg", b"1.jpg", b"3.jpg", b"sub/5.jpg")
    assert listing.classes == ("1", "2", "10")
    assert listing.labels.tolist() == [1, 1, 0, 2]
    assert listing.splits.tolist() == ["train", "val", "test", ""]
    assert listing.sizes.tolist() == [(folder / os.fsdecode(path)).stat().st_size for path in listing.paths]
    assert listing.mtimes[0] == (folder / "0.jpg").stat().st_mtime_ns


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n0.jpg,cat\n",
        "label,path\ncat,0.jpg\n",
        "\ufeffpath,label\r\n0.jpg,cat\r\n",
        'id, Path ,width,LABEL\n7,0.jpg,640,"cat"\n\n,,,\n',
        "path,label\n./0.jpg,  cat \n",
        "path,label\nsub/../0.jpg,cat",
    ],
)
def test_accepted_spellings(folder, text):
    listing = read(folder, text)
    assert (listing.paths, listing.classes, listing.splits.tolist()) == ((b"0.jpg",), ("cat",), [""])


def test_absolute_paths_and_any_file_name(folder):
    name = b'caf\xe9, "x"\n.jpg'
    (folder / os.fsdecode(name)).write_bytes(b"x")
    absolute = os.fsencode(folder / "1.jpg")
    listing = read(folder, b'path,label\n"caf\xe9, ""x""\n.jpg",a\n' + absolute + b",b\n")
    assert set(listing.paths) == {name, absolute}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no column 'path' and no column 'label'.*expected path,label"),
        ("path,class\n0.jpg,a\n", r"no column 'label'; its first line is 'path,class', expected path,label or"),
        ("path;label\n0.jpg;a\n", "separated by semicolons, separate them by commas"),
        ("path\tlabel\n0.jpg\ta\n", "separated by tabs"),
        ("path,label,path\n0.jpg,a,1.jpg\n", "two columns 'path'; keep one"),
        ("path,label\n", "has a header but no rows"),
        (
            "path,label\n9.jpg,a\n0.jpg,a\n8.jpg,b\n",
            r"2 rows with a path that is no file \(line 2: 9.jpg, line 4: 8.jpg\)",
        ),
        ("path,label\nsub,a\n", r"1 row with a path that is no file \(line 2: sub\); paths are relative to"),
        ("path,label\nsub\\5.jpg,a\n", "they hold backslashes"),
        ("path,label\n0.jpg,\n1.jpg,  \n", r"2 rows without a label \(line 2: 0.jpg, line 3: 1.jpg\)"),
        ("path,label\n,a\n", r"1 row without a path \(line 2\)"),
        ("path,label\n0.jpg\n", "without a label"),
        ("path,label,split\n0.jpg,a,dev\n", r"unknown split \(line 2: 'dev'\); use train, val or test"),
        ("path,label\n0.jpg,a\n./0.jpg,b\n", r"a path that occurred before \(line 3: 0.jpg is already on line 2\)"),
        ('path,label\n"0.jpg,a\n', r"line 2: .*expected plain CSV, quotes closed"),
        ("path,label\n0.jpg,a\0\n", "is not UTF-8 text"),
        ("path,label\n0.jpg,a\n".encode("utf-16"), "is not UTF-8 text; save it as CSV UTF-8"),
    ],
)
def test_malformed_lists_are_refused_with_lines_and_a_remedy(folder, text, message):
    with pytest.raises(ImageSetError, match=message):
        read(folder, text)


def test_long_lists_of_faults_are_cut_and_counted(folder):
    rows = "".join(f"no{number}.jpg,a\n" for number in range(500))
    with pytest.raises(
        ImageSetError, match=r"500 rows .*line 2: no0.jpg, line 3: no1.jpg, line 4: no2.jpg, and 497 more"
    ):
        read(folder, "path,label\n" + rows)


def test_labels_that_look_alike_are_refused(folder):
    with pytest.raises(ImageSetError, match="both shown as"):
        read(folder, b"path,label\n0.jpg,caf\xe9\n1.jpg,caf\\xe9\n")


def test_list_that_cannot_be_read(folder, monkeypatch):
    def forbidden(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(ImageSetError, match="list.csv cannot be read: Permission denied"):
        list_csv(os.fsencode(folder / "list.csv"), os.fsencode(folder))
