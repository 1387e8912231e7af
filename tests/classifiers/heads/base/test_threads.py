import pytest
import torch

from classifiers.heads.base.threads import at_most


def test_the_number_is_limited_and_comes_back_also_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with at_most(1):
            assert torch.get_num_threads() == 1
        with pytest.raises(ValueError, match="inside"), at_most(2):
            assert torch.get_num_threads() == 2
            raise ValueError("inside")
        assert torch.get_num_threads() == 3
        with at_most(8):
            assert torch.get_num_threads() == 3
        with at_most(None):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
