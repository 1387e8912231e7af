import numpy as np
import pytest
import torch

from featstore.engines.cuda_runner import CudaRunner
from featstore.engines.runner import Computation
from tests.support.engine_example import (
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


def prepared(backbone, device, **options):
    runner = CudaRunner(backbone, **{"device": device, "precision": "fp32", "batch_size": 8} | options)
    runner.prepare()
    return runner


@pytest.mark.parametrize("device", DEVICES)
def test_features_are_torchvisions(backbone, device):
    runner = prepared(backbone, device)
    assert_same_features(runner.submit(images(5)).result(), torchvision_features(backbone, images(5)))


@pytest.mark.parametrize("device", DEVICES)
def test_bits_depend_on_the_image_alone(backbone, device):
    runner = prepared(backbone, device)
    assert_bits_depend_on_the_image_alone(lambda pixels: Computation(runner, pixels).result())


@pytest.mark.parametrize("device", DEVICES)
def test_staging_buffers_are_not_written_before_they_were_read(backbone, device):
    runner = prepared(backbone, device)
    alone = [runner.submit(images(8, seed=i)).result()[0].copy() for i in range(7)]
    parts = [runner.submit(images(8, seed=i)) for i in range(7)]
    assert all(np.array_equal(part.result()[0], rows) for part, rows in zip(parts, alone, strict=True))


@pytest.mark.parametrize("device", DEVICES)
def test_memory_that_runs_out_halves_the_batch(backbone, device):
    runner = prepared(backbone, device, batch_size=16)
    network = runner._module

    def crowded(pixels):
        if len(pixels) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return network(pixels)

    runner._module = crowded
    found = Computation(runner, images(21)).result()
    assert runner.batch_size == 4 and runner.provenance["batch_size"] == 4
    assert_same_features(found, torchvision_features(backbone, images(21)))


@pytest.mark.parametrize("device", DEVICES)
def test_half_precision(backbone, device):
    runner = prepared(backbone, device, precision="bf16")
    expected = torchvision_features(backbone, images(5))
    assert_same_features(runner.submit(images(5)).result(), expected, largest=0.1, cosine=0.999)
