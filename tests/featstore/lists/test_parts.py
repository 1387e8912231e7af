"""Parts: columns of names, and of True and False."""

import pytest

from featstore.errors import ImageSetError
from featstore.lists.parts import flag_of, part_cells, read_parts
from featstore.lists.table import Table, read_table


def table(header: str, *rows: str) -> Table:
    return read_table(
        "\n".join([f"path,{header}", *(f"{n}.jpg,{row}" for n, row in enumerate(rows))]).encode(), b"a.csv"
    )


def test_part_names_as_people_write_them():
    found = read_parts(
        table("split", "Train", "training", "VAL", "dev", "valid", "test", "holdout", "trainval", "", "nan"), [1]
    )
    assert found[0] == ["train", "train", "val", "val", "val", "test", "test", "train", "", ""]
    assert found[1:] == ("column 'split'", ["2 rows are in no part; such images count as training images"])


@pytest.mark.parametrize(
    ("header", "rows", "parts"),
    [
        ("is_valid", ["True", "False"], ["val", "train"]),
        ("is_valid", ["1", "0", ""], ["val", "train", ""]),
        ("is_test", ["yes", "no"], ["test", "train"]),
        ("validation", ["t", "f"], ["val", "train"]),
        ("is_train", ["1.0", "0.0"], ["train", "test"]),
        ("is_training_image", ["1", "0"], ["train", "test"]),
        ("is_valid,is_test", ["0,0", "1,0", "0,1"], ["train", "val", "test"]),
        ("train,test", ["1,0", "0,0", "0,1"], ["train", "val", "test"]),
        ("train,val,test", ["1,0,0", "0,0,0", "0,0,1"], ["train", "", "test"]),
    ],
)
def test_true_and_false(header, rows, parts):
    listed = table(header, *rows)
    columns = list(range(1, len(listed.columns)))
    assert all(flag_of(listed.columns[n], listed.column(n)) for n in columns)
    assert read_parts(listed, columns)[0] == parts


def test_a_column_of_flags_needs_its_name_and_its_cells():
    assert flag_of("red", ["0", "1"]) is None
    assert flag_of("test", ["0", "2"]) is None
    assert flag_of("test", ["", ""]) is None


def test_columns_that_hold_parts():
    assert part_cells(table("set", "train", "x"), 1) and not part_cells(table("set", "x", "y"), 1)
    assert part_cells(table("fold", "train", "dev"), 1) and not part_cells(table("fold", "train", "1"), 1)
    assert part_cells(table("split", "1", "2"), 1) and not part_cells(table("split", "", "nan"), 1)


def test_unknown_parts_are_named_with_a_way_out():
    with pytest.raises(ImageSetError) as caught:
        read_parts(table("split", "train", "one", "two", "two", "three", "four"), [1])
    assert str(caught.value) == (
        "a.csv has 5 rows with an unknown part in column 'split' (line 3: 'one', line 4: 'two', line 6: 'three', and 1 "
        'more); use train, val or test, or leave the cell empty; `split_column=""` reads the list without parts'
    )


def test_two_parts_of_one_row_are_refused():
    with pytest.raises(
        ImageSetError, match="line 2 is True in columns 'is_valid' and 'is_test'; expected an image to be"
    ):
        read_parts(table("is_valid,is_test", "1,1"), [1, 2])


def test_valid_may_mean_good():
    listed = table("is_valid", "True", "True", "False")
    with pytest.raises(ImageSetError, match=r"True on 2 of 3 rows, which may mean .*`split_column=\"is_valid\"` or"):
        read_parts(listed, [1])
    assert read_parts(listed, [1], said=True)[0] == ["val", "val", "train"]


def test_no_columns_no_parts():
    assert read_parts(table("label", "x"), []) == ([""], "", [])
