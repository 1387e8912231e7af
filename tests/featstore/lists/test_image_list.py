"""Lists as people have them: each of the cases that are reported from elsewhere, and more of their kinds."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from featstore.errors import ImageSetError, ImagesNotFoundError, UnknownNameError
from featstore.images.listing import Listing, Skipped
from featstore.images.reading import Reading
from featstore.images.tree import Labelled, Tree
from featstore.lists import image_list
from featstore.lists.image_list import label_with_list, parts_in_list, read_list
from tests.support.pictures import encode, texture

PHOTOS = ("photos/a00.jpg", "photos/a01.jpg", "photos/b00.jpg", "photos/b01.jpg")
TWO = [(b"photos/a00.jpg", "ant"), (b"photos/a01.jpg", "ant"), (b"photos/b00.jpg", "bee"), (b"photos/b01.jpg", "bee")]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, *PHOTOS)
    return tmp_path


def write(folder: Path, *names: str | bytes) -> None:
    for number, name in enumerate(names):
        place = folder / os.fsdecode(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode(texture(number, 8, 8)))


def read(folder: Path, text: str | bytes, name: str = "list.csv", **said) -> Labelled:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_list(os.fsencode(place), Reading(**said))


def lines(pattern: str, paths=PHOTOS) -> str:
    """One line a photo: {p} its path, {c} its name, {d} without ending, {l} its label, {s} its part, {n} its number."""
    return "".join(
        pattern.format(
            p=path, c=path.split("/")[-1], d=path.split("/")[-1][:-4], l="ant" if "/a" in path else "bee",
            s=("train", "test")[number % 2], n=number,
        ) + "\n"
        for number, path in enumerate(paths)
    )  # fmt: skip


def labels(labelled: Labelled) -> list[tuple[bytes, str | None]]:
    names = [name and name.decode() for count, name, _ in labelled.found.runs for _ in range(count)]
    return list(zip(labelled.found.paths, names, strict=True))


def parts(labelled: Labelled) -> list[str]:
    return [part for count, _, part in labelled.found.runs for _ in range(count)]


# What was promised before, and stays.


def test_rows_are_sorted_labels_are_text_and_files_have_size_and_time(tmp_path):
    write(tmp_path, "0.jpg", "1.jpg", "3.jpg", "sub/5.jpg")
    found = read(tmp_path, "path,label,split\n3.jpg,1,test\nsub/5.jpg,10,\n0.jpg,2,Train\n1.jpg,2,validation\n")
    listing = Listing.of(found.found, found.skipped, b"")
    assert listing.paths == (b"0.jpg", b"1.jpg", b"3.jpg", b"sub/5.jpg")
    assert listing.classes == ("1", "2", "10")
    assert listing.labels.tolist() == [1, 1, 0, 2]
    assert listing.splits.tolist() == ["train", "val", "test", ""]
    assert listing.sizes.tolist() == [(tmp_path / os.fsdecode(path)).stat().st_size for path in listing.paths]
    assert listing.mtimes[0] == (tmp_path / "0.jpg").stat().st_mtime_ns
    assert found.root == os.fsencode(tmp_path.resolve())
    assert (found.layout, found.labels_from) == ("list", "3 classes from column 'label' of list.csv")
    assert found.parts_from == "train, val and test from column 'split' of list.csv"


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
def test_accepted_spellings(tmp_path, text):
    write(tmp_path, "0.jpg", "sub/5.jpg")
    found = read(tmp_path, text)
    assert (labels(found), parts(found)) == ([(b"0.jpg", "cat")], [""])


def test_absolute_paths_and_any_file_name(tmp_path):
    name = b'caf\xe9, "x"\n.jpg'
    write(tmp_path, name, "1.jpg", "other/2.jpg")
    inside, other = os.fsencode(tmp_path / "1.jpg"), os.fsencode(tmp_path / "other" / "2.jpg")
    text = b'path,label\n"caf\xe9, ""x""\n.jpg",a\n' + inside + b",b\n" + other + b",c\n"
    assert set(read(tmp_path, text).found.paths) == {name, b"1.jpg", b"other/2.jpg"}
    beside = read(tmp_path, text.replace(b'"caf', b'"../caf'), "other/list.csv")
    assert set(beside.found.paths) == {b"../" + name, inside, b"2.jpg"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv is empty; expected one row an image"),
        ("path,label,path\nphotos/a00.jpg,a,photos/a01.jpg\n", "two columns 'path'; keep one"),
        ("path,label\n", "has a header but no rows; expected one row an image"),
        ("path,label\nphotos,a\n", r"1 of 1 files in column 'path' are not there \(line 2: 'photos'\); looked in"),
        ("path,label\nphotos/a00.jpg,\nphotos/a01.jpg,  \n", r"no row of .* has a label \(column 'label' is empty\)"),
        ("path,label\n,a\nphotos/a00.jpg,b\n", r"1 row \(line 2\) without a path"),
        ("path,label\nphotos/a00.jpg\n", "no row of .* has a label"),
        (
            "path,label,split\nphotos/a00.jpg,a,spare\n",
            r"unknown part in column 'split' \(line 2: 'spare'\); use train, val",
        ),
        (
            "path,label\nphotos/a00.jpg,a\n./photos/a00.jpg,b\n",
            r"two labels: photos/a00.jpg is 'a' on line 2 and 'b' on line 3",
        ),
        ('path,label\n"0.jpg,a\n', r"line 2: .*expected plain CSV, quotes closed"),
        ("path,label\n0.jpg,a\0\n", "holds zero bytes, so it is no text"),
    ],
)
def test_malformed_lists_are_refused_with_lines_and_a_remedy(folder, text, message):
    with pytest.raises(ImageSetError, match=message):
        read(folder, text)


def test_long_lists_of_faults_are_cut_and_counted(folder):
    rows = "".join(f"no{number}.jpg,a\n" for number in range(500))
    with pytest.raises(
        ImageSetError,
        match=r"500 of 500 files .* \(line 2: 'no0.jpg', line 3: 'no1.jpg', line 4: 'no2.jpg', ...\); looked",
    ):
        read(folder, "path,label\n" + rows)


def test_list_that_is_not_there_cannot_be_read_or_is_too_large(folder, monkeypatch):
    with pytest.raises(ImagesNotFoundError, match="none.csv does not exist; expected a list of images"):
        read_list(os.fsencode(folder / "none.csv"), Reading())
    with pytest.raises(ImageSetError, match="photos cannot be read: "):
        read_list(os.fsencode(folder / "photos"), Reading())
    monkeypatch.setattr(image_list, "LIST_BYTES", 3)
    with pytest.raises(ImageSetError, match="expected a list of at most 0 MiB"):
        read(folder, "path,label\n")


# What people report from elsewhere.


@pytest.mark.parametrize(
    "header", ["image,label", "filename,class", "file_name,label", "id,breed", "Image Name,Species"]
)
def test_columns_under_other_names(folder, header):
    assert labels(read(folder, header + "\n" + lines("{p},{l}"))) == TWO


@pytest.mark.parametrize("said", [{}, {"root": "photos"}, {"root": "photos", "suffix": ".jpg"}, {"suffix": ".jpg"}])
def test_ids_without_an_ending_and_photos_in_a_folder_beside(folder, said, monkeypatch):
    monkeypatch.chdir(folder)
    found = read(folder, "id,breed\n" + lines("{d},{l}"), **said)
    absolute = [(found.root + b"/" + path, label) for path, label in labels(found)]
    assert absolute == [(os.fsencode(folder.resolve()) + b"/" + path, label) for path, label in TWO]
    assert any("below" in note for note in found.notes) == ("root" not in said)
    assert any("ending" in note for note in found.notes) == ("suffix" not in said)


@pytest.mark.parametrize("mark", [";", "\t", "|", ",", " ", ", "])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "train.txt"])
def test_any_separator_with_or_without_a_header(folder, mark, header, name):
    text = f"path{mark}label\n" * header + lines("{p}" + mark + "{l}")
    assert labels(read(folder, text, name)) == TWO


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_encoding_and_end_of_line(folder, encoding, end):
    text = "path,label\n" + lines("{p},{l}")
    assert labels(read(folder, text.replace("\n", end).encode(encoding))) == TWO


def test_what_excel_tells_itself_and_gzip(folder):
    text = "sep=;\r\npath;label\r\n" + lines("{p};{l}")
    assert labels(read(folder, text)) == TWO
    assert labels(read(folder, gzip.compress(text.encode()), "list.csv.gz")) == TWO


def test_json_lines_and_json(folder):
    objects = [{"path": path.decode(), "info": {"label": label}} for path, label in TWO]
    assert labels(read(folder, "\n".join(map(json.dumps, objects)), "list.jsonl", label_column="info.label")) == TWO
    assert labels(read(folder, "\n".join(map(json.dumps, objects)), "list.jsonl")) == TWO
    assert labels(read(folder, json.dumps({path.decode(): label for path, label in TWO}), "labels.json")) == TWO


def test_parquet(folder):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"path": [p.decode() for p, _ in TWO], "label": [label for _, label in TWO]}), sink)
    assert labels(read(folder, sink.getvalue().to_pybytes(), "list.parquet")) == TWO


def test_backslashes_and_another_machines_folders(folder):
    found = read(folder, "path,label\r\n" + lines("{p},{l}").replace("/", "\\").replace("\n", "\r\n"))
    assert labels(found) == TWO and found.notes == ["4 paths were found with / for \\"]
    found = read(folder, "path,label\n" + lines("C:\\Users\\me\\{p},{l}"))
    assert labels(found) == TWO
    assert found.notes[1] == "C:/Users/me in front of the paths was left out, for the files are not there"
    assert labels(read(folder, "path,label\n" + lines("/home/me/data/{p},{l}"))) == TWO


@pytest.mark.parametrize("on_disk", ["utf-8", "cp1252"])
def test_names_of_windows_are_found_in_either_spelling(tmp_path, on_disk):
    name = "umlaut/grün0.jpg".encode(on_disk)
    write(tmp_path, name)
    found = read(tmp_path, "path,label\numlaut/grün0.jpg,grün\n".encode("cp1252"))
    assert labels(found) == [(name, "grün")]
    assert any("read as Windows-1252, such as 'grün'" in note for note in found.notes)


def test_names_in_another_case_or_unicode_form(tmp_path):
    write(tmp_path, "Photos/gru\u0308n.JPG")
    found = read(tmp_path, "path,label\nphotos/GR\u00dcN.jpg,x\n")
    assert labels(found) == [("Photos/gru\u0308n.JPG".encode(), "x")]
    assert found.notes == ["1 path was found in another letter case or Unicode form"]


@pytest.mark.parametrize("pattern", ["{l}, {p}", "{l},{p} ", "{l},'{p}'", "{l} , {p}", '{l},"{p}"', '{l}, "{p}"'])
def test_spaces_and_quotes_around_cells(folder, pattern):
    assert labels(read(folder, "label, path\n" + lines(pattern))) == TWO


def test_a_file_whose_name_begins_with_a_space_is_itself(tmp_path):
    write(tmp_path, " a.jpg", "a.jpg")
    assert labels(read(tmp_path, "path,label\n a.jpg,x\na.jpg,y\n")) == [(b" a.jpg", "x"), (b"a.jpg", "y")]


def test_paths_from_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = read(folder, "path,label\n" + lines("{p},{l}"), "lists/deep/list.csv")
    assert labels(found) == TWO and found.root == os.fsencode(folder.resolve())
    assert found.notes == [f"the paths start from {folder.resolve()}, the working directory"]
    write(folder / "lists" / "deep", *PHOTOS)
    found = read(folder, "path,label\n" + lines("{p},{l}"), "lists/deep/list.csv")
    assert found.root == os.fsencode((folder / "lists" / "deep").resolve())
    assert f"files of such names are in {folder.resolve()}, too: `root=" in found.notes[0]


def test_a_root_decides_and_must_be_a_folder(folder):
    found = read(folder, "path,label\n" + lines("{c},{l}"), root=str(folder / "photos"))
    assert labels(found) == [(path.split(b"/")[1], label) for path, label in TWO]
    with pytest.raises(
        ImageSetError, match=r"`root=\"none\"`: .*none is no folder; expected the folder that the paths in"
    ):
        read(folder, "path,label\n" + lines("{c},{l}"), root="none")


def test_one_missing_file_is_a_row_that_fails_later(folder):
    found = read(folder, "path,label\nphotos/none.jpg,ant\n" + lines("{p},{l}"))
    assert labels(found) == [(b"photos/none.jpg", "ant"), *TWO]
    assert (found.found.sizes[0], found.found.mtimes[0]) == (0, 0) and all(found.found.sizes[1:])
    assert found.notes == [
        "1 of 5 files named (line 2: 'photos/none.jpg') is not there and will be among those that cannot be read"
    ]


def test_the_same_row_twice_is_one_image_and_another_label_is_refused(folder):
    found = read(folder, "path,label\n" + lines("{p},{l}") * 2)
    assert labels(found) == TWO
    assert found.notes == ["4 rows name an image that is listed before, with the same label"]
    with pytest.raises(
        ImageSetError, match="gives 1 image two labels: photos/a00.jpg is 'ant' on line 2 and 'bee' on line 6"
    ):
        read(folder, "path,label\n" + lines("{p},{l}") + r"PHOTOS\a00.jpg,bee")


def test_rows_without_a_label(folder):
    text = "path,label,split\nphotos/a00.jpg,ant,train\nphotos/b00.jpg,,test\nphotos/b01.jpg,NaN,test\n"
    found = read(folder, text)
    assert labels(found) == TWO[:1]
    assert [(s.path, s.reason) for s in found.skipped] == [
        (b"photos/b00.jpg", "without a label in the list"), (b"photos/b01.jpg", "without a label in the list"),
    ]  # fmt: skip
    assert found.notes == [
        "1 label is empty ('NaN')",
        "2 rows without a label left out (all in test); `unlabelled=True` takes such images, too",
    ]
    found = read(folder, text, unlabelled=True)
    assert labels(found) == [TWO[0], (b"photos/b00.jpg", None), (b"photos/b01.jpg", None)]
    assert parts(found) == ["train", "test", "test"] and not found.skipped


def test_a_list_of_paths_alone(folder):
    with pytest.raises(ImageSetError, match=r"has a label \(it has no column of labels\); .* or say `unlabelled=True`"):
        read(folder, lines("{p}"), "test.txt")
    found = read(folder, lines("{p}"), "test.txt", unlabelled=True)
    assert labels(found) == [(path, None) for path, _ in TWO] and found.labels_from == ""


def test_groups_are_kept_where_they_are_asked_for(folder):
    text = "path,label,Patient ID\n" + lines("{p},{l},p{n}").replace("p3", "")
    assert "looks like groups" in read(folder, text).notes[0]
    assert read(folder, text).groups == {}
    found = read(folder, text, group_column="patient_id")
    assert found.groups == {b"photos/a00.jpg": "p0", b"photos/a01.jpg": "p1", b"photos/b00.jpg": "p2"}
    assert found.notes == []


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("split", ["dev", "eval", "holdout", "Training"], ["val", "test", "test", "train"]),
        ("is_valid", ["True", "False", "False", "True"], ["val", "train", "train", "val"]),
        ("set", ["train", "test", "train", "test"], ["train", "test", "train", "test"]),
        ("is_train", ["1", "0", "1", "0"], ["train", "test", "train", "test"]),
        ("split", ["train", "", "", "test"], ["train", "", "", "test"]),
    ],
)
def test_parts_under_other_names(folder, header, cells, expected):
    rows = "".join(f"{path},x,{cell}\n" for path, cell in zip(PHOTOS, cells, strict=True))
    found = read(folder, f"path,label,{header}\n{rows}")
    assert parts(found) == expected and found.parts_from.endswith(f"from column '{header}' of list.csv")


def test_several_labels_are_doubted(folder):
    found = read(folder, "path,label\n" + lines('{p},"{l},red"'))
    assert found.notes[0].startswith("labels look like several (separated by commas), such as 'ant,red'")
    with pytest.raises(ImageSetError, match="two labels: .* an image has one label here; keep one of the rows"):
        read(folder, "path,label\n" + lines("{p},{l}\n{p},red"))


def test_numbers_show_their_names_and_a_column_a_class(folder):
    found = read(folder, "path,label,label_name\n" + lines("{p},7,{l}").replace("7,bee", "8,bee"))
    assert labels(found) == TWO
    assert found.labels_from == "2 classes from column 'label_name' (the names of column 'label') of list.csv"
    found = read(folder, "image,ant,bee\n" + lines("{p},{l}").replace("ant", "1.0,0.0").replace("bee", "0.0,1.0"))
    assert labels(found) == TWO
    assert found.labels_from == "2 classes from one column each ('ant', 'bee'; the one that holds 1) of list.csv"


def test_a_first_row_that_names_a_file_is_no_header(folder):
    assert labels(read(folder, lines("{d},{l} {n}"))) == [
        (path, f"{label} {number}") for number, (path, label) in enumerate(TWO)
    ]


def test_unknown_columns_and_files_in_two_readings(folder):
    with pytest.raises(UnknownNameError, match=r"unknown column 'lable'; close matches: label; the list is .*list.csv"):
        read(folder, "path,label\n" + lines("{p},{l}"), label_column="lable")
    write(folder, "photos/a00.png", "more/a01.jpg")
    with pytest.raises(ImageSetError, match=r"'photos/a00' fits .*a00.jpg and .*a00.png\); say `suffix=\".jpg\"`"):
        read(folder, "path,label\n" + lines("photos/{d},{l}"))
    assert len(labels(read(folder, "path,label\n" + lines("photos/{d},{l}"), suffix=".jpg"))) == 4
    with pytest.raises(ImageSetError, match=r"'a01.jpg' fits .*more/a01.jpg and .*photos/a01.jpg\); say the folder"):
        read(folder, "path,label\n" + lines("{c},{l}"))


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0\\"), min_size=1, max_size=8).filter(
    lambda name: name == name.strip(" \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\xa0.'\"`#") and name.strip()
)


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(names, min_size=1, max_size=4, unique_by=lambda name: name.casefold()), mark=st.sampled_from(",;\t|")
)
def test_any_file_name_that_the_csv_module_writes_is_found(tmp_path_factory, names, mark):
    import csv
    import io

    folder = tmp_path_factory.mktemp("any")
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=mark, quoting=csv.QUOTE_ALL).writerows(
        [("path", "label"), *((f"{n}.jpg", "x") for n in names)]
    )
    for name in names:
        (folder / f"{name}.jpg").write_bytes(b"1")
    found = read(folder, file.getvalue())
    assert sorted(found.found.paths) == sorted(f"{name}.jpg".encode() for name in names)


# Lists applied to a folder or archive.

IMAGES = [b"test/c.jpg", b"test/d.jpg", b"train/a.jpg", b"train/b.jpg"]


def tree(paths=IMAGES) -> Tree:
    return Tree(b"/d/pets", list(paths), [9] * len(paths), [7] * len(paths), skipped=[Skipped(b"x.txt", "text", 1, 1)])


def apply(text: str, name: bytes = b"labels.csv", paths=IMAGES, **said) -> Labelled:
    return label_with_list(tree(paths), name, text.encode(), Reading(**said))


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("path,label\ntrain/a.jpg,x\ntrain/b.jpg,y\n", b"labels.csv", {}),
        ("path;label\nTRAIN\\a;x\nTRAIN\\b;y\n", b"/elsewhere/labels.csv", {}),
        ("file_name,label\na.jpg,x\nb.jpg,y\n", b"train/metadata.csv", {}),
        ("file_name,label\na.jpg,x\nb.jpg,y\n", b"/d/pets/train/metadata.csv", {}),
        ("id,breed\na,x\nb,y\n", b"labels.csv", {}),
        ("id,breed\na,x\nb,y\n", b"labels.csv", {"root": "train"}),
        ("id,breed\na,x\nb,y\n", b"labels.csv", {"root": "/d/pets/train", "suffix": ".jpg"}),
        ("path,label\n/d/pets/train/a.jpg,x\n/d/pets/train/b.jpg,y\n", b"/elsewhere/labels.csv", {}),
        ("path,label\n/home/me/train/a.jpg,x\n/home/me/train/b.jpg,y\n", b"/elsewhere/labels.csv", {}),
        ("path,label\npets/train/a.jpg,x\npets/train/b.jpg,y\n", b"/elsewhere/labels.csv", {}),
    ],
)
def test_a_list_finds_the_images_of_a_tree(text, name, said):
    found = apply(text, name, **said)
    assert labels(found) == [(b"train/a.jpg", "x"), (b"train/b.jpg", "y")]
    assert (found.found.sizes, found.found.mtimes, found.root) == ([9, 9], [7, 7], None)
    assert found.skipped == [
        Skipped(b"x.txt", "text", 1, 1),
        *(Skipped(path, "on no list", 9, 7) for path in IMAGES[:2]),
    ]
    assert f"2 images are not on {name.decode().rpartition('/')[2]} and left out" in found.notes


def test_images_on_no_list_are_taken_where_the_user_wants_them():
    found = apply(
        "path,label,split,patient\ntrain/a.jpg,x,train,p\ntrain/b.jpg,,dev,q\n", unlabelled=True, group_column="patient"
    )
    assert labels(found) == [
        (b"test/c.jpg", None),
        (b"test/d.jpg", None),
        (b"train/a.jpg", "x"),
        (b"train/b.jpg", None),
    ]
    assert parts(found) == ["", "", "train", "val"]
    assert found.groups == {b"train/a.jpg": "p", b"train/b.jpg": "q"}
    assert found.notes == ["2 images are not on labels.csv and taken without a label"]


def test_rows_without_an_image_are_told_and_do_not_count_as_classes():
    found = apply("path,label\ntrain/a.jpg,x\ntrain/b.jpg,y\ntest/c.jpg,\nnew/e.jpg,z\n")
    assert labels(found) == [(b"train/a.jpg", "x"), (b"train/b.jpg", "y")]
    assert found.labels_from == "2 classes from column 'label' of labels.csv"
    assert found.notes == [
        "1 of 4 files named (line 5: 'new/e.jpg') is not among the images, and left out",
        "1 image is not on labels.csv and left out",
        "1 row without a label left out; `unlabelled=True` takes such images, too",
    ]


def test_the_list_of_another_data_set_is_refused_with_both_sides():
    message = (
        "labels.csv seems to be the list of other images: 0 of its 2 rows are among the 4 images of /d/pets; "
        "it names 'q', 'r', there are test/c.jpg, test/d.jpg, train/a.jpg; expected"
    )
    with pytest.raises(ImageSetError, match=message):
        apply("id,breed\nq,x\nr,y\n")
    with pytest.raises(ImageSetError, match='`root="/other"` is not in /d/pets'):
        apply("id,breed\na,x\n", root="/other")
    with pytest.raises(ImageSetError, match=r"1 path fits several files \(line 2: 'a' fits x/a.jpg and y/a.jpg\)"):
        apply("id,breed\na,x\n", paths=[b"x/a.jpg", b"y/a.jpg"])


def test_a_folder_of_another_class_is_not_taken_for_the_one_named():
    with pytest.raises(ImageSetError, match="seems to be the list of other images"):
        apply("path,label\ncats/1.jpg,x\ndogs/2.jpg,y\nbirds/3.jpg,z\n", paths=[b"a/1.jpg", b"b/2.jpg", b"c/3.jpg"])


def test_a_hundred_thousand_rows_on_a_tree_take_seconds():
    paths = [b"c%d/%d.jpg" % (number % 100, number) for number in range(100_000)]
    text = "path,label\n" + "".join(f"{path.decode()},c{number % 100}\n" for number, path in enumerate(paths))
    began = time.process_time()
    found = apply(text, paths=paths)
    assert len(found.found.paths) == 100_000 and found.notes == []
    assert time.process_time() - began < 15


def test_labels_never_go_to_the_images_of_another_part(tmp_path):
    write(tmp_path, "train/0.jpg", "train/1.jpg")
    with pytest.raises(ImageSetError, match=r"2 of 2 files .* are not there"):
        read(tmp_path, "path,label\nval/0.jpg,a\nval/1.jpg,b\n")
    with pytest.raises(ImageSetError, match=r"2 of 2 files .* are not there"):
        read(tmp_path, "id,label\n0,a\n1,b\n", "test.csv")
    tree = Tree(os.fsencode(tmp_path), [b"train/0.jpg", b"train/1.jpg"], [9, 9], [0, 0])
    for name, rows in ((b"l.csv", b"val/0.jpg,a\nval/1.jpg,b\n"), (b"val.csv", b"0,a\n1,b\n")):
        with pytest.raises(ImageSetError, match="the list of other images: 0 of its 2 rows"):
            label_with_list(tree, name, b"path,label\n" + rows, Reading())


def test_one_missing_file_does_not_move_the_list_to_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path, "img/0.jpg", "img/1.jpg", "img/2.jpg", "own/img/0.jpg", "own/img/1.jpg")
    monkeypatch.chdir(tmp_path)
    found = read(tmp_path, "path,label\nimg/0.jpg,a\nimg/1.jpg,b\nimg/2.jpg,b\n", "own/list.csv")
    assert found.root == os.fsencode((tmp_path / "own").resolve())
    assert any("1 of 3 files named" in note for note in found.notes)


def test_attributes_below_a_count_are_columns(tmp_path):
    write(tmp_path, "img/0.jpg", "img/1.jpg", "img/2.jpg")
    text = "3\nMale Young Bald\n0.jpg -1  1 -1\n1.jpg  1 -1 -1\n2.jpg  1  1 -1\n"
    with pytest.raises(ImageSetError, match=r"columns are 'image', 'Male', 'Young', 'Bald'; .*label_column=\"Male\""):
        read(tmp_path, text, "attributes.txt")
    found = read(tmp_path, text, "attributes.txt", label_column="Male")
    assert [label for _, label in labels(found)] == ["not Male", "Male", "Male"]


def test_a_count_before_the_rows_is_no_row(tmp_path):
    write(tmp_path, "0.jpg", "1.jpg")
    found = read(tmp_path, "2\n0.jpg 4\n1.jpg 5\n", "list.txt")
    assert labels(found) == [(b"0.jpg", "4"), (b"1.jpg", "5")]


def test_what_is_missing_may_have_another_ending_or_zeros_in_front(tmp_path):
    write(tmp_path, "img/0.jpg", "img/1.jpg")
    text = "path,label\nimg/0.png,a\nimg/1.png,b\n"
    message = r"'img/0.png' has another ending there: 0.jpg; .*relative to the working directory"
    with pytest.raises(ImageSetError, match=message):
        read(tmp_path, text)
    tree = Tree(os.fsencode(tmp_path), [b"img/0.jpg", b"img/1.jpg"], [9, 9], [0, 0])
    with pytest.raises(
        ImageSetError, match=r"another ending there: 0.jpg; .*`root=\"FOLDER\"`, a folder of these images"
    ):
        label_with_list(tree, b"l.csv", text.encode(), Reading())
    with pytest.raises(ImageSetError, match="zeros in front of the numbers may be lost"):
        read(tmp_path, "id,label\n7,a\n8,b\n")


def test_the_parts_of_a_list_without_labels():
    tree = Tree(b"/pets", [b"cats/1.jpg", b"dogs/2.jpg", b"dogs/3.jpg"], [9] * 3, [0] * 3)
    content = b"file_name,split,width\ncats/1.jpg,train,8\ndogs/2.jpg,test,8\n"
    told, origin = parts_in_list(tree, b"metadata.csv", content, Reading())
    assert told == {b"cats/1.jpg": "train", b"dogs/2.jpg": "test"}
    assert origin == "train and test from column 'split' of metadata.csv"
    assert parts_in_list(tree, b"m.csv", b"file_name,width\ncats/1.jpg,8\n", Reading()) == ({}, "")
