import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from featstore.engines import openvino_model, openvino_runner
from featstore.engines.openvino_runner import OpenVINORunner, usual_request
from featstore.errors import DeviceError, MissingExtraError
from tests.support.engine_example import (
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def openvino():
    return pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


def prepared(backbone, **options):
    runner = OpenVINORunner(backbone, **{"precision": "fp32", "request": 1} | options)
    runner.prepare()
    return runner


def has_bf16(openvino):
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("request_size", [1, 8])
def test_features_are_torchvisions(backbone, request_size):
    runner = prepared(backbone, request=request_size)
    assert_same_features(runner.submit(images(11)).result(), torchvision_features(backbone, images(11)))
    runner.close()


def test_residual_networks_too(tmp_path):
    backbone = example(tmp_path, "resnet18", nodes=("layer2", "avgpool", "layer1.0.bn2"))
    runner = prepared(backbone)
    assert_same_features(runner.submit(images(3)).result(), torchvision_features(backbone, images(3)))
    runner.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bits_depend_neither_on_neighbours_nor_on_the_size_of_requests(openvino, backbone, precision):
    if precision == "bf16" and not has_bf16(openvino):
        pytest.skip("needs a CPU with bf16 arithmetic")
    one, eight = (prepared(backbone, precision=precision, request=n) for n in (1, 8))
    assert_bits_depend_on_the_image_alone(lambda pixels: one.submit(pixels).result())
    assert_bits_depend_on_the_image_alone(lambda pixels: eight.submit(pixels).result())
    for a, b in zip(one.submit(images(19)).result(), eight.submit(images(19)).result(), strict=True):
        assert np.array_equal(a, b)
    assert one.provenance == eight.provenance
    one.close(), eight.close()


def test_bf16_is_near(openvino, backbone):
    if not has_bf16(openvino):
        pytest.skip("needs a CPU with bf16 arithmetic")
    runner = prepared(backbone, precision="bf16")
    found, expected = runner.submit(images(9)).result(), torchvision_features(backbone, images(9))
    assert_same_features(found, expected, largest=0.1, cosine=0.999)
    assert np.abs(found[0] - expected[0]).max() > 1e-5 * np.abs(expected[0]).max()  # it is bf16 indeed
    runner.close()


def test_bf16_without_bf16_arithmetic_is_refused(openvino, backbone, monkeypatch):
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    with pytest.raises(DeviceError, match='no bf16 arithmetic.*use `precision="fp32"` or `engine="eager"`'):
        OpenVINORunner(backbone, precision="bf16", request=1)


def test_order_of_nodes_is_kept(tmp_path):
    one, two = (example(tmp_path, nodes=nodes) for nodes in (("avgpool", "features.3"), ("features.3", "avgpool")))
    for backbone in (one, two):
        runner = prepared(backbone)
        assert_same_features(runner.submit(images(2)).result(), torchvision_features(backbone, images(2)))
        runner.close()


def test_failure_of_the_converter_is_one_sentence(tmp_path, monkeypatch):
    def fails(backbone, request, precision):
        raise RuntimeError("Check failed\nmany lines")

    for name in ("openvino_model", "prepare_model"):
        monkeypatch.setattr(openvino_model, name, fails)
    backbone = example(tmp_path, nodes=("features.1",))
    with pytest.raises(
        DeviceError, match=r"cannot run mobilenet_v3_small here \(RuntimeError: Check failed\); use `engine="
    ):
        prepared(backbone)


def test_not_installed_is_one_sentence_with_the_command(backbone, monkeypatch):
    monkeypatch.setattr(openvino_runner, "has_openvino", lambda: False)
    with pytest.raises(MissingExtraError, match=r"OpenVINO is not installed; run: pip install 'featstore\[openvino\]'"):
        OpenVINORunner(backbone, precision="fp32", request=1)


def test_usual_request_is_small_for_small_networks(backbone, tmp_path):
    assert usual_request(backbone) == 1
    assert usual_request(example(tmp_path, "resnet18", nodes=("avgpool",))) == 8


def test_it_is_loaded_without_its_converter_which_is_there_for_others_all_the_same():
    program = (
        "import sys; from featstore.engines.openvino_runner import load_openvino\n"
        "module = load_openvino(); assert 'openvino.tools.ovc' not in sys.modules\n"
        "import openvino; assert module is openvino is load_openvino()\n"
        "try: openvino.convert_model('/no/such/model')\n"
        "except Exception as error: assert 'openvino.tools.ovc' in sys.modules; print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.returncode == 0 and "/no/such/model" in told.stdout, told.stderr


def test_what_was_prepared_runs_without_the_network_and_gives_the_same_bits(backbone):
    cold = prepared(backbone, request=8)
    kept = cold.model
    assert (kept.request, kept.widths, kept.provenance) == (8, (576, 24), {})
    warm = OpenVINORunner(kept, precision="fp32", request=8)
    warm.prepare()
    for a, b in zip(cold.submit(images(11)).result(), warm.submit(images(11)).result(), strict=True):
        assert np.array_equal(a, b)
    assert warm.provenance == cold.provenance
    cold.close(), warm.close()


def test_weights_that_are_cut_short_are_one_sentence(backbone):
    runner = prepared(backbone)
    runner.close()
    short = dataclasses.replace(runner.model, weights=runner.model.weights[:1000])
    with pytest.raises(DeviceError, match="OpenVINO cannot run what was prepared here"):
        OpenVINORunner(short, precision="fp32", request=1).prepare()


def test_without_room_for_temporary_files_it_runs_and_nothing_can_be_kept(backbone, monkeypatch):
    monkeypatch.setattr(openvino_model, "prepare_model", lambda *_: (_ for _ in ()).throw(OSError(28, "no room")))
    runner = prepared(backbone)
    assert runner.model is None
    assert_same_features(runner.submit(images(2)).result(), torchvision_features(backbone, images(2)))
    runner.close()
