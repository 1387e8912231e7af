import pytest
import torch

from featstore.device import describe, find_device
from featstore.errors import DeviceError, UnknownNameError


def test_auto_takes_the_best_that_is_here(monkeypatch):
    for cuda, mps, expected in ((2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert find_device("auto") == expected


def test_device_that_is_not_here_says_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(
        DeviceError, match=r"the device cuda is not on this machine \(there is: cpu.*\); use --device auto"
    ):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == "cuda:1"
    with pytest.raises(DeviceError, match=r"cuda:2 is not on this machine \(there is: cpu, 2 cuda"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_no_devices_name(name):
    with pytest.raises(UnknownNameError, match="unknown device"):
        find_device(name)


def test_description_names_the_processor():
    assert describe("cpu").startswith("cpu ")
    assert describe("cpu").endswith(torch.backends.cpu.get_cpu_capability())
