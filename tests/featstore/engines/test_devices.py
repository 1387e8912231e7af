"""The device to train on."""

import pytest
import torch

from featstore.engines.devices import mixed_precision, training_device
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


def test_half_precision_is_for_cuda(monkeypatch):
    assert mixed_precision(torch.device("cpu")) == "fp32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert mixed_precision(torch.device("cuda")) == "bf16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert mixed_precision(torch.device("cuda")) == "fp16"
