import numpy as np
import PIL
import pytest

from featstore.engines.factory import make_engine
from featstore.engines.openvino_runner import OpenVINORunner
from featstore.errors import DeviceError, FeaturesError
from tests.support.engine_example import (
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


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


def test_auto_gives_way_to_the_next_engine_and_says_why(backbone, openvino, monkeypatch):
    def fails(self):
        raise DeviceError("OpenVINO cannot run this here (a reason)")

    monkeypatch.setattr(OpenVINORunner, "prepare", fails)
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager" and facts["engine_note"] == "OpenVINO cannot run this here (a reason)"
    with pytest.raises(DeviceError, match="a reason"):
        make_engine(backbone, engine="openvino", device="cpu").prepare()


@pytest.mark.parametrize("error", [RuntimeError("Can not allocate memory"), MemoryError()])
def test_lack_of_memory_while_an_engine_is_built_is_a_reason_like_others(backbone, openvino, monkeypatch, error):
    def fails(self):
        raise error

    monkeypatch.setattr(OpenVINORunner, "prepare", fails)
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager" and "memory does not hold the engine openvino (" in facts["engine_note"]
    with pytest.raises(DeviceError, match='memory does not hold the engine openvino .*; use `engine="eager"`'):
        make_engine(backbone, engine="openvino", device="cpu").prepare()


def test_provenance_names_what_decodes(backbone):
    assert make_engine(backbone, engine="eager", device="cpu").provenance["pillow"] == PIL.__version__


def test_engine_with_wrong_numbers_is_not_used(backbone, openvino, monkeypatch):
    prepare = OpenVINORunner.prepare

    def crooked(self):
        prepare(self)
        submit = self.submit
        self.submit = lambda pixels: submit(255 - pixels)

    monkeypatch.setattr(OpenVINORunner, "prepare", crooked)
    facts = make_engine(backbone, device="cpu").provenance
    assert facts["engine"] == "eager" and "gives other features than torchvision's network" in facts["engine_note"]
    with pytest.raises(DeviceError, match="engine openvino in fp32 gives other features"):
        make_engine(backbone, engine="openvino", device="cpu").prepare()


def test_eager_and_bf16_work_everywhere(backbone):
    engine = make_engine(backbone, engine="eager", device="cpu", precision="bf16", batch_size=3)
    assert engine.batch_size == 3
    found = engine.run(images(7))
    assert_same_features(list(found.values()), torchvision_features(backbone, images(7)), largest=0.1, cosine=0.999)
    engine.close()
