"""A pool whose JPEG files one process decodes beside a device: here libjpeg stands in for nvJPEG."""

import hashlib
import os
import re
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.models.bundle import load_bundle
from classifiers.models.prediction import predict_images
from classifiers.models.trained_head import train
from featstore import FeatureStore
from featstore.backbone import Backbone
from featstore.decoding import nvjpeg_decoder, worker_process
from featstore.decoding.nvjpeg_decoder import NvjpegDecoder
from featstore.decoding.nvjpeg_pool import NvjpegPool, open_pool
from featstore.decoding.pixels.decode import decode
from featstore.decoding.pixels.jpeg_header import read_header
from featstore.decoding.pixels.transform import TransformSpec
from featstore.decoding.pool import DecodePool
from featstore.errors import DeviceError, FeatstoreError
from featstore.extract import extract
from featstore.system import interpreter
from tests.support.pictures import encode, exif, hostile, texture, write_tree
from tests.support.pool_inputs import gather

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

SPEC = TransformSpec(resize=40, crop=32, nvjpeg=True)
SMALL = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32, "engine": "eager", "workers": 1}
SMALL |= {"device": "cpu"}


def write(folder, contents):
    """Files of these bytes; returns the items of a run."""
    items = []
    for number, data in enumerate(contents):
        path = folder / f"{number:04d}"
        path.write_bytes(data)
        items.append((os.fsencode(path), hashlib.sha256(data).digest()))
    return items


def jpegs(count, endings=None):
    return [encode(texture(i, 50 + i % 7, 44 + i % 5)) + (endings or {}).get(i, b"") for i in range(count)]


def expected(contents):
    """What the rule says: plain JPEG files by the device's decoder, others by Pillow."""
    device = NvjpegDecoder(SPEC, "cpu")
    rows = []
    for data in contents:
        header = read_header(data)
        rows.append(device.decode([data], [header])[0][0] if header else SPEC.apply(decode(data)))
    return np.stack(rows)


def stand_in(monkeypatch):
    """The CPU counts as a device with nvJPEG."""
    monkeypatch.setattr(nvjpeg_decoder, "require_cuda", lambda device: None)


@pytest.fixture
def misbehaving(monkeypatch):
    """The device's process runs `tests.support.faulty_nvjpeg_worker`."""

    def start(target, settings, **options):
        return interpreter.start(
            target.replace("featstore.decoding.nvjpeg_worker", "tests.support.faulty_nvjpeg_worker"),
            settings,
            **options,
        )

    monkeypatch.setattr(worker_process, "start", start)


@pytest.mark.parametrize(("workers", "batch_size"), [(0, 7), (2, 64)])
def test_pixels_are_the_rules_whatever_the_batches(tmp_path, batch_size, workers):
    contents = jpegs(20)
    contents[3] = encode(texture(3), "PNG")
    contents[4] = encode(Image.fromarray(texture(4)).convert("L"))
    contents[11] = encode(texture(11), exif=exif(6))
    contents[19] = encode(Image.fromarray(texture(5)).convert("CMYK"))
    items = write(tmp_path, contents)
    with NvjpegPool(SPEC, "cpu", workers=workers, batch_size=batch_size) as pool:
        images, status, reasons = gather(pool, items)
        again = gather(pool, items[::-1])[0][::-1]
    assert not status.any() and not any(reasons)
    np.testing.assert_array_equal(images, expected(contents))
    np.testing.assert_array_equal(again, images)
    with DecodePool(SPEC, workers=0) as pillow:
        assert not np.array_equal(gather(pillow, items)[0], images)


def test_hostile_files_are_refused_with_pillows_words(tmp_path):
    contents = [*hostile().values(), *jpegs(5)]
    items = write(tmp_path, contents)
    with NvjpegPool(SPEC, "cpu", workers=2) as pool:
        images, status, reasons = gather(pool, items)
        assert pool.replaced == 0
    with DecodePool(SPEC, workers=2) as pillow:
        _, same, words = gather(pillow, items)
    assert status.tolist() == same.tolist() == [1] * len(hostile()) + [0] * 5
    assert reasons == words and all(reasons[: len(hostile())])
    np.testing.assert_array_equal(images[-5:], expected(contents[-5:]))


@pytest.mark.parametrize("deed", [b"#segfault", b"#hang"])
def test_a_file_that_the_decoder_dies_of_fails_and_its_neighbours_lose_nothing(
    tmp_path, misbehaving, monkeypatch, deed
):
    monkeypatch.setattr("featstore.decoding.supervisor.GRACE_SECONDS", 1.0)
    contents = jpegs(24, {5: deed})
    items = write(tmp_path, contents)
    with NvjpegPool(SPEC, "cpu", workers=1, batch_size=8, seconds_per_image=4) as pool:
        images, status, reasons = gather(pool, items)
        assert pool.replaced == 2
    assert np.flatnonzero(status).tolist() == [5] and status[5] == 2
    assert (
        reasons[5]
        == {b"#segfault": "decoding crashed (SIGSEGV), twice", b"#hang": "decoding did not answer, twice"}[deed]
    )
    fine = status == 0
    np.testing.assert_array_equal(images[fine], expected(contents)[fine])


def test_a_file_that_the_decoder_refuses_is_pillows(tmp_path, misbehaving):
    contents = jpegs(24, {5: b"#refuse", 17: b"#refuse"})
    with NvjpegPool(SPEC, "cpu", workers=1, batch_size=8) as pool:
        images, status, reasons = gather(pool, write(tmp_path, contents))
        assert pool.replaced == 0
    assert not status.any() and not any(reasons)
    by_rule = expected(contents)
    for row in (5, 17):
        by_rule[row] = SPEC.apply(decode(contents[row]))
    np.testing.assert_array_equal(images, by_rule)


def test_an_image_too_large_for_the_device_fails_for_a_reason_that_may_pass(tmp_path, misbehaving):
    contents = jpegs(9, {4: b"#short"})
    with NvjpegPool(SPEC, "cpu", workers=1, batch_size=4) as pool:
        images, status, reasons = gather(pool, write(tmp_path, contents))
    assert status.tolist() == [0] * 4 + [2] + [0] * 4
    assert reasons[4] == "the device has not enough memory to decode it" and not images[4].any()


def test_files_that_change_or_vanish_are_noticed(tmp_path):
    contents = jpegs(8)
    items = write(tmp_path, contents)
    (tmp_path / "0002").write_bytes(contents[3])
    (tmp_path / "0006").unlink()
    with NvjpegPool(SPEC, "cpu", workers=1, batch_size=4) as pool:
        _, status, reasons = gather(pool, items)
    assert status.tolist() == [0, 0, 3, 0, 0, 0, 2, 0]
    assert "changed" in reasons[2] and "cannot be read: No such file" in reasons[6]


def test_process_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path):
    contents = jpegs(60)
    with NvjpegPool(SPEC, "cpu", workers=1, batch_size=4) as pool:
        run = pool.run(write(tmp_path, contents))
        pool.wait()
        os.kill(pool._device._supervisor.processes[0].pid, signal.SIGKILL)
        parts = list(run)
        assert pool.replaced == 1
    assert not any(part.status.any() for part in parts)
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), expected(contents))


def test_a_device_that_is_not_there_ends_in_a_sentence(tmp_path):
    with (
        NvjpegPool(SPEC, "cuda:77", workers=1) as pool,
        pytest.raises(
            FeatstoreError,
            match=r"cannot be started: 3 in a row, the last one ended with status 1 .*; extract without nvJPEG",
        ),
    ):
        gather(pool, write(tmp_path, jpegs(2)))


def test_the_transform_decides_which_pool(monkeypatch):
    with pytest.raises(DeviceError, match="needs a CUDA device, and the network runs on cpu here"):
        open_pool(SPEC, "cpu", workers=0)
    assert isinstance(open_pool(TransformSpec(40, 32), "cpu", workers=0), DecodePool)
    stand_in(monkeypatch)
    with open_pool(SPEC, "cpu", workers=0) as pool:
        assert isinstance(pool, NvjpegPool)


def test_features_under_a_key_of_their_own_and_predictions_of_them(tmp_path, monkeypatch):
    folder = write_tree(tmp_path / "two words", each=6, splits=("train", "test"))
    (folder / "train" / "ants" / "one.png").write_bytes(encode(texture(77), "PNG"))
    (folder / "train" / "ants" / "half.jpg").write_bytes(jpegs(1)[0][:300])
    place = tmp_path / "s"
    with pytest.raises(DeviceError, match="use a machine with such a device, or features extracted without `nvjpeg`"):
        extract(folder, place, **SMALL, nvjpeg=True)
    stand_in(monkeypatch)
    usual, device = (extract(folder, place, **SMALL, nvjpeg=on) for on in (False, True))
    assert usual.failed == device.failed and len(device.failed) == 1 and usual.computed == device.computed
    assert extract(folder, place, **SMALL, nvjpeg=True).computed == 0
    first, second = (FeatureStore(place).read(key=run.features[0][0].key) for run in (usual, device))
    assert first.fingerprint.key != second.fingerprint.key and second.fingerprint.transform["nvjpeg"] is True
    assert first.X.shape == second.X.shape and not np.array_equal(first.X, second.X)
    png = second.ids.index("train/ants/one.png")
    np.testing.assert_array_equal(first.X[png], second.X[png])  # Pillow's in both

    train(second, "logistic", budget="quick", folds=3).save(tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    found = predict_images(bundle, [folder / "test"], engine="eager", device="cpu", workers=0)
    test = second.subset(second.testing())
    wanted = dict(zip([str(folder / name) for name in test.ids], bundle.predict_proba(test), strict=True))
    for image, proba in zip(found.images, found.proba, strict=True):
        np.testing.assert_allclose(proba, wanted[image], atol=1e-5)
    monkeypatch.undo()
    with pytest.raises(DeviceError, match="decoded by nvJPEG for these features, which needs a CUDA device"):
        predict_images(bundle, [folder / "test"], engine="eager", device="cpu", workers=0)


def test_rules_exclude_each_other():
    with pytest.raises(ValueError, match="nvjpeg decodes JPEG files whole, so it does not go with jpeg_scaling"):
        Backbone("mobilenet_v3_small", "none", input_size=32, nvjpeg=True, jpeg_scaling=True)
    with pytest.raises(ValueError, match="nvjpeg resizes bilinear or bicubic, not lanczos"):
        TransformSpec(40, 32, interpolation="lanczos", nvjpeg=True)
    assert TransformSpec.from_json(SPEC.to_json()) == SPEC and SPEC.resized(64).nvjpeg
    assert re.search("nvjpeg", str(SPEC.to_json())) and "nvjpeg" not in TransformSpec(40, 32).to_json()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_this_machines_device(tmp_path):
    contents = [*jpegs(300), *hostile().values()]
    items = write(tmp_path, contents)
    with NvjpegPool(SPEC, "cuda", workers=2) as pool:
        images, status, _ = gather(pool, items)
        again = gather(pool, items[::-1])[0][::-1]
    assert not status[:300].any() and status[300:].all()
    np.testing.assert_array_equal(images, again)
    assert np.abs(images[:300].astype(int) - expected(contents[:300])).mean() < 8
