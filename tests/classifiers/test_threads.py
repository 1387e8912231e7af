import pytest
import torch

from classifiers.threads import at_most, one_each


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


def test_each_thread_computes_alone_and_the_number_comes_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_each() as pool:
            assert torch.get_num_threads() == 1
            assert list(pool.map(lambda _: torch.get_num_threads(), range(6))) == [1] * 6
            assert pool._max_workers == 3
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="inside"), one_each():
            raise ValueError("inside")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
