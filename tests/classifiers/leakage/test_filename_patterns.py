import re

import pytest
from hypothesis import given, strategies as st

from classifiers.leakage.filename_patterns import PATTERNS, part_codes
from classifiers.validation.splits import group_by

name = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text("ab12_-. ()/", max_size=20)


@pytest.mark.parametrize(
    ("number", "spoken", "names", "part"),
    [
        (0, "up to .rf.", ["tom_jpg.rf.0123abcd.jpg", "tom_jpg.rf.99.jpg"], "tom_jpg"),
        (1, "a word such as copy", ["tom.jpg", "tom_flip.jpg", "tom-aug3.png", "tom - Copy (3).jpg"], "tom"),
        (1, "a word such as copy", ["tom_12.jpg", "tom_12_hflip_rot90.jpg", "tom_12.rotated.jpg"], "tom_12"),
        (2, "such as flip or to (2)", ["tom.jpg", "tom (2).jpg", "tom_flip.jpg", "tom - Copy (3).jpg"], "tom"),
        (
            3,
            "the name after words such as copy",
            ["tom.jpg", "aug_3_tom.jpg", "rot90-tom.png", "Copy of tom.jpg"],
            "tom",
        ),
        (
            3,
            "the name after words such as copy",
            ["0017.jpg", "rot90_0017.jpg", "aug1_0017.png", "aug_3_0017.jpg"],
            "0017",
        ),
        (4, "up to its first number", ["p12.jpg", "p12_rot90.jpg", "p12b3.jpg"], "p12"),
        (5, "the first number", ["left12.jpg", "right12_3.jpg", "12.jpg"], "12"),
        (6, "up to its last number", ["scan_a_017.png", "scan_a_2.png"], "scan_a_"),
        (7, "the first word", ["anna_1.jpg", "anna.left.jpg", "anna-2"], "anna"),
        (8, "up to its last word", ["old_house_sepia.jpg", "old_house_2.jpg"], "old_house"),
        (9, "of the folder", ["anna/1.jpg", "anna/b.png"], "anna"),
    ],
)
def test_each_pattern_reads_what_its_words_say(number, spoken, names, part):
    pattern = PATTERNS[number]
    assert spoken in pattern.spoken and pattern.read(names)[0] == [part] * len(names)
    if number < 9:
        assert pattern.read([f"a/b/{name}" for name in names]) == ([part] * len(names), ["a/b"] * len(names))


@pytest.mark.parametrize("name", ["parrot_12.jpg", "carrot.jpg", "duplo_3.png", "microcrops.jpg"])
def test_words_that_only_hold_a_mark_are_whole(name):
    stem = name.rpartition(".")[0]
    assert [one.read([name])[0] for one in PATTERNS[1:4]] == [[stem]] * 3


@given(st.lists(name))
def test_parts_are_those_that_the_expression_gives(names):
    for pattern in PATTERNS:
        parts, folders = pattern.read(names)
        assert len(parts) == len(folders) == len(names)
        if any(part is not None for part in parts):
            assert part_codes(parts).tolist() == group_by(names, pattern.anywhere).tolist()
        for name, part, folder in zip(names, parts, folders, strict=True):
            assert part is None or (part in name and name.startswith(folder))
            found = re.search(pattern.with_folder, name)
            assert (found is None) == (part is None) or name.endswith("\n")


@pytest.mark.parametrize(
    ("name", "random"), [("9f86d081884c7d659a2f.jpg", True), ("patient12_3.jpg", False), ("2021-05-12.jpg", False)]
)
def test_a_piece_of_a_random_id_is_known(name, random):
    (pattern,) = (one for one in PATTERNS if "up to its first number" in one.spoken)
    assert pattern.reads_ids([name]) is random
