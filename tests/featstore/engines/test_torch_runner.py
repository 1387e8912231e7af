import numpy as np
import pytest
import torch

from featstore.engines.torch_runner import TorchRunner, missing_compiler
from featstore.errors import DeviceError
from tests.support.engine_example import (
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


def prepared(backbone, **options):
    runner = TorchRunner(backbone, **{"device": "cpu", "precision": "fp32", "threads": 2} | options)
    runner.prepare()
    return runner


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v2", "resnet18"])
def test_eager_gives_torchvisions_features(folder, name):
    backbone = example(folder, name, nodes=("avgpool", "layer2" if name == "resnet18" else "features.3"))
    runner = prepared(backbone)
    pixels = images(11)
    assert_same_features(runner.submit(pixels).result(), torchvision_features(backbone, pixels))
    runner.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bits_depend_on_the_image_alone(folder, precision):
    runner = prepared(example(folder), precision=precision)
    assert_bits_depend_on_the_image_alone(lambda pixels: runner.submit(pixels).result())
    runner.close()


def test_bits_do_not_depend_on_threads_or_batch_size(folder):
    backbone, pixels = example(folder), images(9)
    one, three = prepared(backbone, threads=1), prepared(backbone, threads=3, batch_size=50)
    for a, b in zip(one.submit(pixels).result(), three.submit(pixels).result(), strict=True):
        assert np.array_equal(a, b)
    assert one.provenance == three.provenance


def test_torchs_threads_stay_as_they_were_for_everybody_else(folder):
    before = torch.get_num_threads()
    runner = prepared(example(folder), threads=3)
    assert torch.get_num_threads() == before
    runner.submit(images(5)).result()
    assert torch.get_num_threads() == before
    runner.close()


def test_several_batches_may_be_under_way(folder):
    runner = prepared(example(folder))
    parts = [runner.submit(images(6, seed=i)) for i in range(4)]
    for i, part in enumerate(parts):
        assert np.array_equal(part.result()[0], runner.submit(images(6, seed=i)).result()[0])
    runner.close()


def test_smaller_batches_after_resize_give_the_same_features(folder):
    backbone = example(folder)
    runner = prepared(backbone)
    runner.resize(2)
    assert runner.batch_size == 2 and runner.provenance == {"request": 2}
    assert_same_features(runner.submit(images(2)).result(), torchvision_features(backbone, images(2)))
    runner.close()


@pytest.mark.skipif(bool(missing_compiler()), reason="needs a C++ compiler")
def test_compiled_network_gives_torchvisions_features_and_the_same_bits(folder):
    backbone = example(folder, "resnet18", nodes=("layer1.0.conv1",))  # short, since compiling takes time
    runner = prepared(backbone, compile=True)
    pixels = images(11)
    assert_same_features(runner.submit(pixels).result(), torchvision_features(backbone, pixels))
    assert_bits_depend_on_the_image_alone(lambda pixels: runner.submit(pixels).result())
    runner.close()


def test_no_compiler_is_one_sentence(folder, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert missing_compiler() == "no-such-compiler"
    with pytest.raises(
        DeviceError, match="needs a C.. compiler, and no-such-compiler is not installed; install one, set CXX"
    ):
        prepared(example(folder), compile=True)


def test_compiler_that_fails_is_one_sentence(folder, monkeypatch):
    def broken(module, **options):
        def call(pixels):
            raise RuntimeError("C++ compile error\nwith many\nlines")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr("featstore.engines.torch_runner.missing_compiler", lambda: "")
    with pytest.raises(
        DeviceError, match=r"torch.compile failed on this machine \(RuntimeError: C\+\+ compile error\); use"
    ):
        prepared(example(folder), compile=True)
