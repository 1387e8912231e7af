"""The device to train on."""

from pathlib import Path

import pytest
import torch

from featstore.engines.devices import has_bf16, mixed_precision, training_device
from featstore.errors import DeviceError


def test_auto_takes_what_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert training_device("auto") == torch.device(expected)
    assert training_device("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no device 'cuda'.*it has .*cpu"):
        training_device("cuda")
    assert training_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False, "avx_ne_convert": False}, False),
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "avx_ne_convert": True}, True),
        ({"arm_bf16": True}, True),
        ({"arm_bf16": False}, False),
        ({"some": True}, True),
    ],
)
def test_a_cpu_has_bf16_where_one_of_its_units_has_or_nothing_is_known(told, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert has_bf16() == expected


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="nothing to compare with")
def test_has_bf16_is_what_the_kernel_says():
    words = set(Path("/proc/cpuinfo").read_text().split())
    if hasattr(torch.cpu, "get_capabilities"):
        assert has_bf16() == bool(words & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})


def test_half_precision_is_for_cuda(monkeypatch):
    assert mixed_precision(torch.device("cpu")) == "fp32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert mixed_precision(torch.device("cuda")) == "bf16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert mixed_precision(torch.device("cuda")) == "fp16"
