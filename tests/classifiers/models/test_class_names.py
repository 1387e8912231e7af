import pytest
from torchvision.models import MobileNet_V2_Weights

from classifiers.models.class_names import find_class
from featstore.errors import UnknownNameError

IMAGENET = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.mark.parametrize("wanted", ["Egyptian cat", "egyptian cat", " EGYPTIAN CAT ", "285"])
def test_a_class_is_found_by_name_in_any_capitals_and_by_index(wanted):
    assert find_class(IMAGENET, wanted) == 285


def test_a_class_named_like_a_number_is_found_by_its_name():
    assert find_class(("7", "0", "1"), "1") == 2
    assert find_class(("7", "0", "1"), "2") == 2


def test_capitals_decide_where_two_classes_differ_in_them_only():
    assert IMAGENET[264] == "Cardigan" and IMAGENET[474] == "cardigan"
    assert find_class(IMAGENET, "Cardigan") == 264
    assert find_class(IMAGENET, "cardigan") == 474
    with pytest.raises(UnknownNameError, match="unknown class 'CARDIGAN'"):
        find_class(IMAGENET, "CARDIGAN")


def test_close_matches_are_offered():
    with pytest.raises(UnknownNameError, match=r"unknown class 'egiptian cat'; close matches: Egyptian cat"):
        find_class(IMAGENET, "egiptian cat")


def test_classes_with_the_word_are_offered():
    with pytest.raises(UnknownNameError, match=r"with that word in their names: .*Persian cat"):
        find_class(IMAGENET, "cat")


def test_an_index_beyond_the_last_is_refused():
    with pytest.raises(UnknownNameError, match="unknown class index '1000'; known: 0 to 999"):
        find_class(IMAGENET, "1000")
    with pytest.raises(UnknownNameError, match="unknown class ''"):
        find_class(IMAGENET, "")
