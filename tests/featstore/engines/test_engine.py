import json

import numpy as np
import PIL
import pytest
import torch

from featstore.engines import engine as module
from featstore.engines.engine import make_engine
from featstore.errors import DeviceError, FeaturesError, MissingExtraError, UnknownNameError
from tests.featstore.backbone.test_nodes import one_thread  # noqa: F401
from tests.support.engine_example import (
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def no_openvino(monkeypatch):
    monkeypatch.setattr(module, "has_openvino", lambda: False)


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")


def test_run_gives_torchvisions_features_by_node(backbone):
    engine = make_engine(backbone, device="cpu")
    assert engine.prepare() > 0 and engine.prepare() == 0
    found = engine.run(images(45))
    assert list(found) == ["avgpool", "features.3"]
    assert_same_features(list(found.values()), torchvision_features(backbone, images(45)))
    assert_bits_depend_on_the_image_alone(lambda pixels: list(engine.run(pixels).values()))
    engine.close()


def test_several_submissions_may_be_under_way(backbone):
    engine = make_engine(backbone, engine="eager", device="cpu")
    pending = [engine.submit(images(5, seed=i)) for i in range(3)]
    for i, features in enumerate(pending):
        assert np.array_equal(features.result()["avgpool"], engine.run(images(5, seed=i))["avgpool"])
    engine.close()


def test_no_images_no_rows(backbone):
    found = make_engine(backbone, engine="eager", device="cpu").run(images(0))
    assert {node: rows.shape for node, rows in found.items()} == {"avgpool": (0, 576), "features.3": (0, 24)}


@pytest.mark.parametrize(
    "pixels", [images(2).astype(np.float32), images(2)[0], images(2)[:, :32], images(2).transpose(0, 3, 1, 2)]
)
def test_images_of_another_form_are_refused(backbone, pixels):
    engine = make_engine(backbone, engine="eager", device="cpu")
    with pytest.raises(FeaturesError, match=r"takes uint8 images of shape \(b, 64, 64, 3\), not"):
        engine.run(pixels)


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
    monkeypatch.setattr(module, "missing_compiler", lambda: "")
    names = [c.name for c in make_engine(backbone, device="cpu", expected_rows=10**6)._candidates]
    assert names == ["compile", "eager"]
    assert [c.name for c in make_engine(backbone, device="cpu", expected_rows=100)._candidates] == ["eager"]
    monkeypatch.setattr(module, "missing_compiler", lambda: "g++")
    assert [c.name for c in make_engine(backbone, device="cpu", expected_rows=10**6)._candidates] == ["eager"]


def test_auto_gives_way_to_the_next_engine_and_says_why(backbone, openvino, monkeypatch):
    def fails(self):
        raise DeviceError("OpenVINO cannot run this here (a reason)")

    monkeypatch.setattr(module.OpenVINORunner, "prepare", fails)
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager" and facts["engine_note"] == "OpenVINO cannot run this here (a reason)"
    with pytest.raises(DeviceError, match="a reason"):
        make_engine(backbone, engine="openvino", device="cpu").prepare()


@pytest.mark.parametrize("error", [RuntimeError("Can not allocate memory"), MemoryError()])
def test_lack_of_memory_while_an_engine_is_built_is_a_reason_like_others(backbone, openvino, monkeypatch, error):
    def fails(self):
        raise error

    monkeypatch.setattr(module.OpenVINORunner, "prepare", fails)
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager" and "memory does not hold the engine openvino (" in facts["engine_note"]
    with pytest.raises(DeviceError, match='memory does not hold the engine openvino .*; use `engine="eager"`'):
        make_engine(backbone, engine="openvino", device="cpu").prepare()


def test_provenance_names_what_decodes(backbone):
    assert make_engine(backbone, engine="eager", device="cpu").provenance["pillow"] == PIL.__version__


def test_engine_with_wrong_numbers_is_not_used(backbone, openvino, monkeypatch):
    prepare = module.OpenVINORunner.prepare

    def crooked(self):
        prepare(self)
        submit = self.submit
        self.submit = lambda pixels: submit(255 - pixels)

    monkeypatch.setattr(module.OpenVINORunner, "prepare", crooked)
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager" and "gives other features than torchvision's network" in facts["engine_note"]
    with pytest.raises(DeviceError, match="engine openvino in fp32 gives other features"):
        make_engine(backbone, engine="openvino", device="cpu").prepare()


def test_measurement_decides_once_and_is_remembered(backbone, openvino, monkeypatch):
    calls = []

    def measure(runners, side):
        calls.append(sorted(runners))
        return {name: 5.0 if name == "eager" else 1.0 for name in runners}

    monkeypatch.setattr(module.calibration, "measure", measure)
    for rows, expected in ((10, "openvino"), (10_000, "eager"), (10_000, "eager"), (10, "eager")):
        engine = make_engine(backbone, device="cpu", expected_rows=rows)
        assert engine.provenance["engine"] == expected
        engine.close()
    assert calls == [["eager", "openvino/1", "openvino/8"]]


@pytest.mark.parametrize("damage", [b"{", b"[" * 100_000])
def test_damaged_calibration_is_measured_again(backbone, openvino, monkeypatch, own_cache, damage):  # noqa: F811
    monkeypatch.setattr(module.calibration, "measure", lambda runners, side: {n: float(n == "eager") for n in runners})
    make_engine(backbone, device="cpu", expected_rows=10_000).prepare()
    (path,) = (own_cache / "calibration").iterdir()
    path.write_bytes(damage)
    monkeypatch.setattr(
        module.calibration, "measure", lambda runners, side: {n: float(n == "openvino/1") for n in runners}
    )
    engine = make_engine(backbone, device="cpu", expected_rows=10_000)
    assert engine.provenance["engine"] == "openvino"
    engine.close()


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


def test_cuda_without_cuda(backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="the device cuda is not on this machine"):
        make_engine(backbone, device="cuda")


def test_cuda_takes_compile_for_many_images_and_never_openvino(backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    names = [c.name for c in make_engine(backbone, expected_rows=10**6)._candidates]
    assert names == ["compile", "eager"]
    with pytest.raises(DeviceError, match="openvino runs on the CPU, not on cuda"):
        make_engine(backbone, engine="openvino", device="cuda")


def test_eager_and_bf16_work_everywhere(backbone):
    engine = make_engine(backbone, engine="eager", device="cpu", precision="bf16", batch_size=3)
    assert engine.batch_size == 3
    found = engine.run(images(7))
    assert_same_features(list(found.values()), torchvision_features(backbone, images(7)), largest=0.1, cosine=0.999)
    engine.close()
