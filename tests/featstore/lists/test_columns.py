"""Which column is which: by names, by files, by what the user says; two that may be meant are refused."""

import pytest

from featstore.errors import ImageSetError, UnknownNameError
from featstore.images.reading import Reading
from featstore.lists.columns import find_columns, one_to_one, position
from featstore.lists.table import read_table


def find(text: str, files="a b c", **said):
    table = read_table(text.encode(), b"a.csv")
    there = set(files.split())
    found = find_columns(
        table, Reading(**said), lambda cells: sum(cell.strip() in there for cell in cells) / max(1, len(cells))
    )

    def name(n):
        return None if n is None else table.columns[n]

    return name(found.path), name(found.label), [name(n) for n in found.parts], found.notes, found, name


@pytest.mark.parametrize(
    ("text", "path", "label"),
    [
        ("path,label\na,x\nb,y\n", "path", "label"),
        ("breed,id\nx,a\ny,b\n", "id", "breed"),
        ("Image Name,Class\na,x\n", "Image Name", "Class"),
        ("picture of,kind\na,x\n", "picture of", "kind"),
        ("id,filename,label\n1,a,x\n2,b,y\n", "filename", "label"),
        ("path,name,label\na,whiskers,x\nb,tom,y\n", "path", "label"),
        ("path,filename,label\na,b,x\nb,c,y\n", "path", "label"),
        ("filename,width,height,class,x,y\na,1,2,u,3,4\n", "filename", "class"),
        ("path,anything\na,x\n", "path", "anything"),
        ("path,y\na,x\n", "path", "y"),
        (",path,label\n0,a,x\n1,b,x\n", "path", "label"),
        ("path,label,label2\na,x,\n", "path", "label"),
        ("path,class,category\na,x,\nb,y,\n", "path", "class"),
        ("path,species,label\na,0,x\nb,1,y\n", "path", "species"),
        ("path,label,class\na,x,X\nb,y,Y\n", "path", "label"),
    ],
)
def test_the_path_and_the_label(text, path, label):
    assert find(text)[:2] == (path, label)


def test_columns_without_names_are_told_by_files_words_and_parts():
    assert find("a.jpg 0\nb.jpg 1\n", "a.jpg b.jpg")[:2] == ("1", "2")
    assert find("0,a.jpg,train\n1,b.jpg,test\n", "a.jpg b.jpg")[:3] == ("2", "1", ["3"])
    assert find("a.jpg\tn01\t0\t5\nb.jpg\tn02\t1\t6\n", "a.jpg b.jpg")[:2] == ("1", "2")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,label,set\na,x,train\nb,y,test\n", ["set"]),
        ("path,label,set\na,x,red\nb,y,blue\n", []),
        ("path,label,fold\na,x,1\nb,y,2\n", []),
        ("path,label,fold\na,x,train\nb,y,dev\n", ["fold"]),
        ("path,label,Usage\na,x,Training\nb,y,PublicTest\n", ["Usage"]),
        ("path,label,is_valid\na,x,True\nb,y,False\n", ["is_valid"]),
        ("path,label,is_valid,is_test\na,x,0,1\nb,y,1,0\n", ["is_valid", "is_test"]),
        ("path,label,split\na,x,\nb,y,\n", []),
    ],
)
def test_the_parts(text, parts):
    assert find(text)[2] == parts


def test_what_the_user_says_decides():
    text = "path,other,label,species,split,fold,patient\na,b,x,u,train,test,p\nb,c,y,u,test,train,q\n"
    said = dict(path_column="Other", label_column=" SPECIES", split_column="fold", group_column="patient")
    path, label, parts, notes, found, name = find(text, **said)
    assert (path, label, parts, name(found.group)) == ("other", "species", ["fold"], "patient")
    assert notes == ["columns not used: 'path', 'label', 'split'"]
    assert find("path,label,split\na,x,train\n", split_column="")[2] == []


def test_numbers_and_names():
    for header in ("label,label_name", "class_id,class", "label,breed", "category,category_name"):
        found, name = find(f"path,{header}\na,0,cat\nb,1,dog\n")[-2:]
        assert [name(found.label), name(found.names)] == header.split(",")
    found, name = find("path,label_name,label\na,cat,0\nb,dog,1\n", label_column="label")[-2:]
    assert (name(found.label), name(found.names)) == ("label", "label_name")
    found, name = find("path,label_name,label\na,cat,0\nb,dog,1\n", label_column="label_name")[-2:]
    assert (name(found.label), found.names) == ("label_name", None)


def test_a_column_a_class():
    found, name = find("image,MEL,NV,BCC\na,1,0,0\nb,0,1,0\n")[-2:]
    assert (found.label, [name(n) for n in found.one_hot]) == (None, ["MEL", "NV", "BCC"])


def test_columns_that_are_not_used_are_named():
    notes = find("path,label,width,patient_id,Unnamed: 0\na,x,3,p,0\n")[3]
    assert notes == [
        "column 'patient_id' looks like groups of images that belong together and is not used; "
        '`group_column="patient_id"` keeps such images in one part',
        "column not used: 'width'",
    ]
    assert find("image,where,label\nq,a,x\nr,b,y\n")[3][0] == (
        "the paths are those of column 'where': the cells of 'image' are no files"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,picture,label\na,b,x\nb,c,y\n",
            r"'image' and 'picture' may both hold the paths; say `path_column=\"image\"` or",
        ),
        ("path,label,path\na,x,b\n", "a.csv has two columns 'path'; keep one"),
        ("path,label,label\na,x,y\nb,x,x\n", "a.csv has two columns 'label'; keep one"),
        (
            "path,label,species\na,x,u\nb,y,u\n",
            r"'label', 'species' may hold the labels; say `label_column=\"label\"` or",
        ),
        (
            "path,colour,size\na,x,u\nb,y,u\n",
            r"no column is known to hold the labels; its columns are 'path', 'colour'",
        ),
        ("one,two\n1,x\n2,y\n", "no column is known to hold paths, and in none are the cells files; its columns are"),
        (
            "path,label,split,fold\na,x,train,test\nb,y,test,train\n",
            r"'split', 'fold' may all hold the parts; say `split_col",
        ),
    ],
)
def test_what_can_be_read_two_ways_or_none_is_refused(text, message):
    with pytest.raises(ImageSetError, match=message):
        find(text)


def test_unknown_columns_offer_close_matches():
    table = read_table(b"Image Path,Breed,breed\na,x,y\n", b"a.csv")
    assert [position(table, name) for name in ("image_path", "IMAGEPATH", "Breed", "breed")] == [0, 0, 1, 2]
    with pytest.raises(UnknownNameError, match="unknown column 'bred'; close matches: .*; the list is a.csv"):
        position(table, "bred")
    with pytest.raises(ImageSetError, match="a.csv has 2 columns 'Breed' and 'breed'; keep one, or rename one"):
        position(table, "BREED")
    with pytest.raises(UnknownNameError, match="whose columns have no names and are counted from 1"):
        position(read_table(b"a.jpg,x\n", b"a.csv"), "label")


def test_columns_that_tell_the_same_apart():
    assert one_to_one(["0", "1", "0"], ["x", "y", "x"]) and not one_to_one(["0", "0"], ["x", "y"])


@pytest.mark.parametrize("name", ["type", "tvt", "source", "use", "X", "subject", "class"])
def test_a_column_of_part_names_holds_the_parts_whatever_its_name(name):
    assert find(f"path,label,{name}\na,x,TRAIN\nb,y,test\nc,x,val\n")[:3] == ("path", "label", [name])


def test_two_columns_of_part_names_are_refused_and_the_only_label_is_none():
    with pytest.raises(ImageSetError, match="'source', 'X' may all hold the parts"):
        find("path,label,source,X\na,x,train,val\nb,y,test,val\n")
    assert find("path,label\na,train\nb,test\n")[:3] == ("path", "label", [])


@pytest.mark.parametrize(
    "rows", ["x/1.png 1\nx/2.png 2\n", "1 x/1.png\n2 x/2.png\n", "cat/cat.jpg,cat\ncat/a.jpg,cat\n"]
)
def test_labels_that_are_names_of_files_are_no_paths(rows):
    found = find(rows, "x/1.png x/2.png 1 2 cat cat/cat.jpg cat/a.jpg")
    assert found[0] == ("2" if rows[0] == "1" else "1")
