"""On which devices a run computes, and what is refused before there is a store."""

import pytest
import torch

from featstore.errors import DeviceError, UnknownNameError
from featstore.extract.device_choice import MIN_IMAGES_PER_DEVICE, check_devices, choose_devices

ALONE = (0, 1)


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


@pytest.mark.parametrize(
    ("device", "images", "share", "expected"),
    [
        ("auto", 3 * MIN_IMAGES_PER_DEVICE, ALONE, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda", 3 * MIN_IMAGES_PER_DEVICE, ALONE, ("cuda:0", "cuda:1", "cuda:2")),
        ("auto", 3 * MIN_IMAGES_PER_DEVICE - 1, ALONE, ("cuda:0",)),
        ("auto", 3 * MIN_IMAGES_PER_DEVICE, (1, 3), ("cuda:0",)),
        ("cuda:2", 10**6, ALONE, ("cuda:2",)),
        ("cuda:0,cuda:2", 1, ALONE, ("cuda:0", "cuda:2")),
        ("cpu, cpu", 1, ALONE, ("cpu", "cpu")),
    ],
)
def test_several_devices_compute_where_they_are_named_or_images_are_many(three_gpus, device, images, share, expected):
    assert choose_devices(device, images=images, built=False, share=share) == expected


def test_a_network_that_is_built_has_one_device(three_gpus):
    assert choose_devices("auto", images=10**6, built=True, share=ALONE) == ("cuda:0",)
    with pytest.raises(DeviceError, match="cpu,cpu: several devices take the name of a network"):
        choose_devices("cpu,cpu", images=1, built=True, share=ALONE)


def test_what_one_of_the_devices_cannot_do_is_refused():
    check_devices("cpu", engine="eager", precision="fp32", nvjpeg=False)
    with pytest.raises(DeviceError, match="fp16 on a CPU would be emulated"):
        check_devices("cpu,cpu", engine="eager", precision="fp16", nvjpeg=False)
    with pytest.raises(DeviceError, match="nvJPEG"):
        check_devices("cpu", engine="eager", precision="fp32", nvjpeg=True)
    with pytest.raises(UnknownNameError, match="unknown device 'gpu'"):
        check_devices("cpu,gpu", engine="eager", precision="fp32", nvjpeg=False)
