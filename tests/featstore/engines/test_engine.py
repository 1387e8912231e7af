from types import SimpleNamespace

import numpy as np
import PIL
import pytest
import torch

from featstore.backbone import Backbone
from featstore.engines import autotune
from featstore.engines.deferred_backbone import deferred_backbone
from featstore.engines.factory import make_engine
from featstore.engines.openvino_runner import OpenVINORunner
from featstore.errors import DeviceError, FeaturesError
from featstore.system import fsio
from featstore.system.machine import usable_cores
from featstore.system.user_cache import cache_folder, read_entry, write_entry
from tests.support.engine_example import (
    SIDE,
    assert_bits_depend_on_the_image_alone,
    assert_same_features,
    example,
    images,
    torchvision_features,
)
from tests.support.faulty_os import FaultyOs

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


REQUEST = {"weights": "none", "nodes": ("avgpool", "features.3"), "input_size": SIDE}


class Builds:
    """Builds the network, or fails where it should not be needed."""

    def __init__(self, allowed=True):
        self.allowed, self.calls = allowed, 0

    def __call__(self):
        self.calls += 1
        assert self.allowed, "the network is built"
        return Backbone("mobilenet_v3_small", **REQUEST)


def started(builds, **options):
    network = deferred_backbone("mobilenet_v3_small", "fp32", REQUEST, builds)
    engine = make_engine(network, device="cpu", **options)
    engine.prepare()
    return engine


def run_and_close(engine, pixels):
    found = engine.run(pixels)
    engine.close()
    return found


@pytest.fixture
def cold(openvino):
    """What the first start gives, its provenance, and the entry that it leaves."""
    builds = Builds()
    engine = started(builds)
    provenance, batch = engine.provenance, engine.batch_size
    (path,) = (cache_folder() / "prepared").iterdir()
    assert builds.calls == 1 and engine.start == f"kept for the next start in {path}"
    return SimpleNamespace(found=run_and_close(engine, images(19)), provenance=provenance, batch=batch, path=path)


def test_the_next_start_builds_nothing_and_gives_the_same_bits(cold):
    warm = started(Builds(allowed=False))
    assert warm.start == f"started with what an earlier start prepared in {cold.path}"
    assert warm.provenance == cold.provenance and warm.batch_size == warm.usual_batch_size == cold.batch
    for node, rows in run_and_close(warm, images(19)).items():
        assert np.array_equal(rows, cold.found[node])


def test_it_is_the_networks_own_arithmetic(cold):
    reference = Builds()()
    pixels = torch.from_numpy(images(19))
    x = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(reference.transform.mean).view(3, 1, 1)) / torch.tensor(
        reference.transform.std
    ).view(3, 1, 1)
    with torch.inference_mode():
        expected = [rows.numpy() for rows in reference.trunk(x)]
    assert_same_features(list(run_and_close(started(Builds(allowed=False)), images(19)).values()), expected)


def test_a_damaged_entry_is_dropped_said_and_made_again(cold):
    data = bytearray(cold.path.read_bytes())
    data[len(data) // 2] ^= 1
    cold.path.write_bytes(data)
    builds = Builds()
    engine = started(builds)
    assert builds.calls == 1
    assert engine.start == (
        f"what an earlier start prepared in {cold.path} is not used: it is damaged: its bytes have another hash than "
        f"it says; kept for the next start in {cold.path}"
    )
    assert all(np.array_equal(rows, cold.found[node]) for node, rows in run_and_close(engine, images(19)).items())
    run_and_close(started(Builds(allowed=False)), images(1))


def test_one_that_gives_other_numbers_is_dropped(cold):
    """Sealed as it should be: the machine computes otherwise than when it was made."""
    entry, _ = read_entry(cold.path)
    body = bytearray(entry.body)
    at = entry.document["description_bytes"]
    body[at : at + 4] = np.float32(77).tobytes()  # the first number that the check image gave
    write_entry(cold.path, entry.document, [memoryview(body)])
    engine = started(Builds())
    assert "is not used: it gives other numbers than when it was made; kept" in engine.start
    engine.close()


def test_one_that_openvino_refuses_is_dropped(cold):
    entry, _ = read_entry(cold.path)
    body = bytes(entry.body).replace(b"<layers>", b"<lairs >")
    write_entry(cold.path, entry.document, [memoryview(body)])
    engine = started(Builds())
    assert "is not used: OpenVINO cannot run what was prepared here (" in engine.start
    assert all(np.array_equal(rows, cold.found[node]) for node, rows in run_and_close(engine, images(19)).items())


def test_many_images_are_measured_once_and_then_it_is_warm(cold, monkeypatch):
    rates = {"eager": 1.0, "openvino/1": 2.0, "openvino/8": 4.0}
    monkeypatch.setattr(autotune, "measure", lambda runners, side: {name: rates[name] for name in runners})
    engine = started(Builds(), expected_rows=10_000)
    assert engine.start.startswith("what an earlier start prepared was never measured beside other engines; kept")
    engine.close()
    warm = started(Builds(allowed=False), expected_rows=10_000)
    assert warm.batch_size == max(32, 4 * 8 * usable_cores())
    assert all(np.array_equal(rows, cold.found[node]) for node, rows in run_and_close(warm, images(19)).items())


def test_where_torch_is_faster_nothing_is_kept_for_auto(openvino, monkeypatch):
    monkeypatch.setattr(autotune, "measure", lambda runners, side: {name: float(name == "eager") for name in runners})
    for builds in (Builds(), Builds()):
        engine = started(builds, expected_rows=10_000)
        assert engine.provenance["engine"] == "eager" and builds.calls and engine.start == ""
        engine.close()
    assert not (cache_folder() / "prepared").exists()


def test_other_engines_and_networks_that_a_caller_made_keep_nothing(backbone, openvino):
    for engine in (make_engine(backbone, device="cpu"), started(Builds(), engine="eager")):
        engine.prepare()
        assert engine.start == ""
        engine.close()
    assert not (cache_folder() / "prepared").exists()


def test_a_cache_folder_that_cannot_be_written_is_said_and_changes_nothing(openvino, own_cache):
    own_cache.parent.mkdir(parents=True)
    own_cache.write_text("a file")
    engine = started(Builds())
    assert engine.start == f"not kept for the next start: {own_cache / 'prepared'} cannot be written"
    assert engine.run(images(2))["avgpool"].shape == (2, 576)
    engine.close()


def test_a_folder_that_can_only_be_read_still_serves(cold):
    cold.path.chmod(0o400)
    cold.path.parent.chmod(0o500)
    try:
        warm = started(Builds(allowed=False))
    finally:
        cold.path.parent.chmod(0o700)
    warm.close()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_ctrl_c_while_it_is_kept_leaves_nothing_broken(openvino, monkeypatch, number):
    network = deferred_backbone("mobilenet_v3_small", "fp32", REQUEST, Builds())
    engine = make_engine(network, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(fsio, "os", FaultyOs(lambda at, call: KeyboardInterrupt() if at == number else None))
        with pytest.raises(KeyboardInterrupt):
            engine.prepare()
    engine.close()
    assert list((cache_folder() / "prepared").iterdir()) == []
    builds = Builds()
    again = started(builds)
    assert "kept for the next start" in again.start
    again.close()
