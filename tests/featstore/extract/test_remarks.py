"""Remarks on single images become one note of each kind."""

import pytest

from featstore.extract.remarks import remark_notes


@pytest.mark.parametrize(
    ("remarks", "note"),
    [
        (
            ["16-bit, all values at most 1020 of 65535", "16-bit, all values at most 4080 of 65535"],
            "2 images of 16 bits hold no value above 4,080 of 65,535, so the network sees little but black; if these "
            "are 12-bit values, extract with `bit_depth=12`",
        ),
        (
            ["16-bit, all values at most 100 of 65535"],
            "1 image of 16 bits holds no value above 100 of 65,535, so the network sees little but black; if these are "
            "9-bit values, extract with `bit_depth=9`",
        ),
        (
            ["16-bit, values up to 65535 cut off above 4095"],
            "1 image of 16 bits holds values up to 65,535, more than the bit depth that was given has; they are cut "
            "off",
        ),
        (["the first of 1,000 pages"], "1 image holds several pages, of which the first is taken"),
        (["the first of several frames"] * 2, "2 images hold several frames, of which the first is taken"),
        (["the main one of 3 pictures"], "1 image holds several pictures, of which the main one is taken"),
        (
            ["only the preview of 8 x 8 pixels in a DNG raw camera file"],
            "of 1 image only a small preview is decoded (raw camera files, or pages in several sizes); develop or save "
            "them as JPEG or PNG to have the whole picture",
        ),
        (
            ["cut short or damaged, decoded as far as it goes (image file is truncated)"],
            "1 image is cut short or damaged; what could be decoded was taken",
        ),
    ],
)
def test_note_of_each_kind(remarks, note):
    assert remark_notes(remarks) == [note]


def test_remarks_of_one_image_count_each_for_its_kind_and_none_gives_none():
    notes = remark_notes(["the first of 2 pages; 16-bit, all values at most 4080 of 65535", "the first of 3 pages"])
    assert len(notes) == 2 and notes[0].startswith("1 image of 16 bits") and notes[1].startswith("2 images hold")
    assert remark_notes([]) == []
