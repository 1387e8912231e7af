"""Which engines are considered for a request, and which requests are refused."""

import json

import pytest
import torch

from featstore.engines import engine as engines, factory, openvino_runner, torch_runner
from featstore.engines.factory import make_engine
from featstore.errors import DeviceError, MissingExtraError, UnknownNameError
from tests.support.engine_example import example


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def no_openvino(monkeypatch):
    for module in (factory, engines, openvino_runner):
        monkeypatch.setattr(module, "has_openvino", lambda: False)


def test_auto_takes_openvino_where_it_is(backbone, openvino):
    engine = make_engine(backbone, device="cpu")
    facts = engine.provenance
    assert facts["engine"] == "openvino" and facts["precision"] == "fp32" and facts["openvino"] and facts["torch"]
    assert "engine_note" not in facts
    json.dumps(facts)
    engine.close()


def test_auto_without_openvino_is_eager_and_says_so(backbone, no_openvino):
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager"
    assert facts["engine_note"].startswith("OpenVINO is not installed; pip install 'featstore[openvino]'")


def test_by_name_without_openvino_is_an_error(backbone, no_openvino):
    with pytest.raises(MissingExtraError, match=r"OpenVINO is not installed; run: pip install 'featstore\[openvino\]'"):
        make_engine(backbone, engine="openvino", device="cpu")


def test_many_images_without_openvino_are_worth_compiling(backbone, no_openvino, monkeypatch):
    monkeypatch.setattr(torch_runner, "missing_compiler", lambda: "")
    names = [c.name for c in make_engine(backbone, device="cpu", expected_rows=10**6)._options]
    assert names == ["compile", "eager"]
    assert [c.name for c in make_engine(backbone, device="cpu", expected_rows=100)._options] == ["eager"]
    monkeypatch.setattr(torch_runner, "missing_compiler", lambda: "g++")
    assert [c.name for c in make_engine(backbone, device="cpu", expected_rows=10**6)._options] == ["eager"]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"engine": "opnvino"}, UnknownNameError, "unknown engine 'opnvino'; close matches: openvino"),
        ({"precision": "fp8"}, UnknownNameError, "unknown precision 'fp8'"),
        ({"device": "gpu"}, UnknownNameError, "unknown device 'gpu'"),
        ({"precision": "fp16", "device": "cpu"}, DeviceError, "fp16 on a CPU would be emulated"),
    ],
)
def test_bad_arguments(backbone, options, error, match):
    with pytest.raises(error, match=match):
        make_engine(backbone, **options)


def test_bf16_that_would_be_emulated_is_for_those_who_name_the_engine(backbone, monkeypatch):
    monkeypatch.setattr(factory, "has_bf16", lambda: False)
    sentence = 'no bf16 arithmetic.*slower than fp32; extract with `precision="fp32"`, or .*: `engine="eager"`'
    with pytest.raises(DeviceError, match=sentence):
        make_engine(backbone, device="cpu", precision="bf16")
    assert [o.name for o in make_engine(backbone, device="cpu", precision="bf16", engine="eager")._options] == ["eager"]
    monkeypatch.setattr(factory, "has_bf16", lambda: True)
    assert make_engine(backbone, device="cpu", precision="bf16")._options


def test_cuda_without_cuda(backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="the device cuda is not on this machine"):
        make_engine(backbone, device="cuda")


def test_cuda_takes_compile_for_many_images_and_never_openvino(backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    names = [c.name for c in make_engine(backbone, expected_rows=10**6)._options]
    assert names == ["compile", "eager"]
    with pytest.raises(DeviceError, match="openvino runs on the CPU, not on cuda"):
        make_engine(backbone, engine="openvino", device="cuda")
