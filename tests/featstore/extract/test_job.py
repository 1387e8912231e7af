"""The pipeline on real small pictures and a real (seeded) network."""

import hashlib
import json
import os
import shutil
import zlib
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from featstore import FeatureStore
from featstore.backbone import Backbone
from featstore.decoding.pixels import decode
from featstore.engines import torch_runner
from featstore.engines.cuda_runner import CudaRunner
from featstore.engines.torch_runner import TorchRunner
from featstore.errors import DeviceError, ImagesNotFoundError, StoreConflictError
from featstore.extract import extract
from featstore.images.samples import write_textures
from tests.support.deep_pictures import deep_png
from tests.support.pictures import png_chunk, texture

SMALL = {"backbone": "resnet18", "weights": "none", "input_size": 64, "workers": 0, "engine": "eager"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_textures(tmp_path_factory.mktemp("sets") / "textures", per_class=4, seed=1)


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("store") / "s"
    extract(folder, place, **SMALL)
    return place


def snapshot(place):
    return {
        path.relative_to(place): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def eager_reference(paths, size):
    network = torchvision.models.resnet18(weights=None)
    network.load_state_dict(Backbone("resnet18", "none", input_size=size).network.state_dict())
    network.fc = torch.nn.Identity()
    network.eval()
    resize = Backbone("resnet18", "none", input_size=size).transform.resize
    transform = torchvision.transforms._presets.ImageClassification(crop_size=size, resize_size=resize, antialias=True)
    with torch.inference_mode():
        return np.stack([network(transform(Image.open(p).convert("RGB"))[None])[0].numpy() for p in paths])


def test_features_are_those_of_torchvisions_eager_model_and_transform(folder, store):
    features = FeatureStore(store).read("textures")
    rows = range(0, len(features.y), 7)
    paths = [folder / features.ids[row] for row in rows]
    expected = eager_reference(paths, 64)
    assert features.X.shape == (32, 512)
    assert np.abs(features.X[list(rows)] - expected).max() <= 1e-4 * np.abs(expected).max()
    assert [features.classes[features.y[row]] for row in rows] == [path.parent.name for path in paths]


def test_a_second_run_computes_nothing_and_changes_no_byte(folder, store):
    before = snapshot(store)
    again = extract(folder, store, **SMALL)
    assert (again.computed, again.cached, again.failed) == (0, 32, ())
    assert snapshot(store) == before


def test_a_repeated_run_needs_no_torch(folder, store):
    import subprocess
    import sys

    code = (
        "import sys; from featstore.extract.job import extract; "
        f"r = extract({str(folder)!r}, {str(store)!r}, backbone='resnet18', weights='none', input_size=64); "
        "print(r.computed, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


def test_renaming_copying_and_relabelling_recompute_nothing(folder, store, tmp_path):
    moved = tmp_path / "moved"
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        place = moved / f"class {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"picture {number}.jpeg")
        if number == 0:
            shutil.copy(path, place / "a copy.jpeg")
    result = extract(moved, store, **SMALL)
    assert (result.images, result.computed) == (33, 0)
    features = FeatureStore(store).read("moved")
    assert features.classes == ("class 0", "class 1")
    row = features.ids.index("class 0/a copy.jpeg")
    same = features.ids.index("class 0/picture 0.jpeg")
    assert np.array_equal(features.X[row], features.X[same])


def test_one_changed_picture_is_one_computed_row(folder, store, tmp_path):
    copy = tmp_path / "textures copy"
    shutil.copytree(folder, copy)
    extract(copy, store, **SMALL)
    victim = sorted(copy.rglob("*.jpg"))[5]
    Image.open(victim).rotate(90).save(victim)
    result = extract(copy, store, **SMALL)
    assert (result.computed, result.cached) == (1, 31)


def test_several_nodes_come_from_one_run_and_a_missing_one_is_added(folder, tmp_path):
    first = extract(folder, tmp_path / "s", nodes=("layer2", "avgpool"), **SMALL)
    assert [dim for _, dim in first.features] == [128, 512]
    second = extract(folder, tmp_path / "s", nodes=("layer1", "avgpool"), **SMALL)
    assert second.computed == 32
    store = FeatureStore(tmp_path / "s")
    assert {info.fingerprint.node: info.rows for info in store.features()} == {
        "layer1": 32,
        "layer2": 32,
        "avgpool": 32,
    }
    third = extract(folder, tmp_path / "s", nodes=("layer1", "layer2", "avgpool"), **SMALL)
    assert third.computed == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_no_bit(folder, store, tmp_path, workers):
    extract(folder, tmp_path / "s", **(SMALL | {"workers": workers, "batch_size": 5}))
    assert np.array_equal(FeatureStore(tmp_path / "s").read().X, FeatureStore(store).read("textures").X)


def test_bad_files_are_listed_and_move_no_good_row(folder, store, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    (mixed / "bricks" / "empty.jpg").write_bytes(b"")
    (mixed / "dots" / "aaa truncated.jpg").write_bytes(sorted((folder / "dots").iterdir())[0].read_bytes()[:700])
    (mixed / "waves" / "text.png").write_text("not a picture")
    result = extract(mixed, tmp_path / "s", **SMALL)
    assert {path for path, _ in result.failed} == {"bricks/empty.jpg", "dots/aaa truncated.jpg", "waves/text.png"}
    assert all(reason for _, reason in result.failed)
    features, clean = FeatureStore(tmp_path / "s").read(), FeatureStore(store).read("textures")
    assert len(features.failed) == 3
    assert features.ids == clean.ids
    assert np.array_equal(features.X, clean.X)
    assert extract(mixed, tmp_path / "s", **SMALL).computed == 0


def test_an_interrupted_run_keeps_what_is_done(folder, tmp_path):
    def stop(stage, done, total, note):
        if stage == "extract" and done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(folder, tmp_path / "s", progress=stop, **(SMALL | {"batch_size": 5}))
    rest = extract(folder, tmp_path / "s", **(SMALL | {"batch_size": 5}))
    assert (rest.computed, rest.cached) == (22, 10)


def test_scaled_jpegs_are_a_feature_set_of_their_own(tmp_path):
    for name, seed in (("a", 0), ("b", 9)):
        for i in range(6):
            place = tmp_path / "photos" / name / f"{i}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(texture(seed + i)).resize((800, 600), Image.Resampling.BICUBIC).save(place, quality=92)
    place = tmp_path / "s"
    whole, scaled = (extract(tmp_path / "photos", place, **SMALL, jpeg_scaling=on) for on in (False, True))
    assert whole.computed == scaled.computed == 12
    assert extract(tmp_path / "photos", place, **SMALL, jpeg_scaling=True).computed == 0
    first, second = (FeatureStore(place).read(key=run.features[0][0].key) for run in (whole, scaled))
    assert not np.array_equal(first.X, second.X)
    cosine = (first.X * second.X).sum(1) / np.linalg.norm(first.X, axis=1) / np.linalg.norm(second.X, axis=1)
    assert cosine.min() > 0.999


def test_plain_h5py_reads_a_shard(store):
    found = {}
    for shard in (store / "features").glob("*/shards/*.h5"):
        with h5py.File(shard) as file:
            found.update(zip((d.tobytes() for d in file["digest"][:]), file["features"][:], strict=True))
    features = FeatureStore(store).read("textures")
    for digest, x in zip(features.digests, features.X, strict=True):
        assert np.array_equal(found[digest.tobytes()], x)


def test_a_missing_folder_makes_no_store(tmp_path):
    with pytest.raises(ImagesNotFoundError, match="nowhere"):
        extract(tmp_path / "nowhere", tmp_path / "s", **SMALL)
    assert not os.path.lexists(tmp_path / "s")


def test_strict_refuses_rows_from_another_engine(folder, store, tmp_path):
    pytest.importorskip("openvino", reason="needs a second engine: pip install openvino")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    extract(copy, tmp_path / "s", **SMALL)
    Image.new("RGB", (80, 80), "red").save(copy / "dots" / "new.png")
    with pytest.raises(StoreConflictError, match=r"another .*engine eager \(now openvino\).* `strict=True` refuses"):
        extract(copy, tmp_path / "s", strict=True, **(SMALL | {"engine": "openvino"}))
    assert extract(copy, tmp_path / "s", **(SMALL | {"engine": "openvino"})).computed == 1


def test_memory_that_runs_out_is_said_and_recorded(folder, store, tmp_path, monkeypatch):
    really = TorchRunner.submit

    def crowded(self, images):
        if len(images) > 2 and images.any():
            raise MemoryError("no room")
        return really(self, images)

    monkeypatch.setattr(TorchRunner, "submit", crowded)
    run = extract(folder, tmp_path / "s", **(SMALL | {"batch_size": 16, "engine": "eager"}))
    assert any("memory holds 2 images at a time, not 16" in note for note in run.notes)
    ways = FeatureStore(tmp_path / "s").features()[0].provenance
    assert [way["request"] for way in ways] == [2] and run.provenance["request"] == 2
    np.testing.assert_allclose(FeatureStore(tmp_path / "s").read().X, FeatureStore(store).read("textures").X, atol=1e-5)


@pytest.fixture
def crowded_later(monkeypatch):
    """CUDA's engine on the CPU, with room for eight images at first and for four from the second batch on."""
    really, seen = CudaRunner.submit, []

    def crowded(self, images):
        if images.any():
            seen.append(len(images))
        pending = really(self, images)
        if len(seen) >= 3 and len(images) > 4:
            return SimpleNamespace(result=lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
        return pending

    def build(backbone, *, device, precision, compile=False, batch_size=None, threads=None):
        return CudaRunner(backbone, device="cpu", precision=precision, batch_size=batch_size)

    monkeypatch.setattr(CudaRunner, "submit", crowded)
    monkeypatch.setattr(torch_runner, "TorchRunner", build)


def test_rows_record_the_batch_size_that_they_were_computed_with(folder, tmp_path, crowded_later):
    run = extract(folder, tmp_path / "s", **(SMALL | {"batch_size": 8, "device": "cpu"}))
    assert sum("memory holds 4 images at a time, not 8" in note for note in run.notes) == 1
    store = FeatureStore(tmp_path / "s")
    rows = {}
    for path in sorted((store.path / "features").rglob("shards/*.h5")):
        with h5py.File(path) as file:
            attribute = json.loads(next(iter(file.attrs.values())))
        size = attribute["provenance"]["batch_size"]
        rows[size] = rows.get(size, 0) + attribute["rows"]
    assert rows == {8: 8, 4: 24}
    assert run.provenance["batch_size"] == 4 and not store.verify().problems


def test_strict_refuses_the_second_way_of_one_run(folder, tmp_path, crowded_later):
    with pytest.raises(StoreConflictError, match="holds only 4 images at a time, and 8 were computed more at a time"):
        extract(folder, tmp_path / "s", strict=True, **(SMALL | {"batch_size": 8, "device": "cpu"}))
    assert FeatureStore(tmp_path / "s").features()[0].rows == 8


def test_what_went_wrong_first_is_what_is_told(folder, tmp_path, monkeypatch):
    def fails(self, *how):
        raise RuntimeError("an illegal memory access was encountered")

    really = TorchRunner.submit
    monkeypatch.setattr(TorchRunner, "submit", lambda self, images: (fails if images.any() else really)(self, images))
    monkeypatch.setattr(TorchRunner, "close", fails)
    with pytest.raises(DeviceError, match="the engine eager failed while it computed"):
        extract(folder, tmp_path / "s", **SMALL)


def test_a_huge_batch_size_is_bounded_and_said(folder, tmp_path):
    run = extract(folder, tmp_path / "s", **(SMALL | {"batch_size": 100_000}))
    assert "1,024 images are computed at a time, not 100,000; a shard holds no more" in run.notes


@pytest.mark.parametrize("options", [{"precision": "fp16", "device": "cpu"}, {"nvjpeg": True, "device": "cpu"}])
def test_what_cannot_run_here_makes_no_store(folder, tmp_path, options):
    with pytest.raises(DeviceError):
        extract(folder, tmp_path / "s", **(SMALL | options))
    assert not os.path.lexists(tmp_path / "s")


@pytest.fixture
def deep(tmp_path):
    """12-bit pictures in 16-bit files, the same as 8-bit files, one of several pages, one that is cut short."""
    for name, seed in (("a", 0), ("b", 9)):
        for i in range(3):
            place = tmp_path / "deep" / name / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            picture = texture(seed + i)
            place.write_bytes(deep_png(picture.astype(np.uint16) << 4))
            plain = tmp_path / "plain" / name / f"{i}.png"
            plain.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(plain)
    return tmp_path


def test_dark_deep_files_are_told_and_their_depth_makes_them_the_plain_ones_under_another_key(deep):
    as_ever = extract(deep / "deep", deep / "s", **SMALL)
    assert [path for path, _ in as_ever.remarks] == ["a/0.png", "a/1.png", "a/2.png", "b/0.png", "b/1.png", "b/2.png"]
    assert all(text.startswith("16-bit, all values at most ") for _, text in as_ever.remarks)
    (note,) = as_ever.notes
    assert note.startswith("6 images of 16 bits hold no value above ") and note.endswith("with `bit_depth=12`")
    told = extract(deep / "deep", deep / "s", **SMALL, bit_depth=12)
    plain = extract(deep / "plain", deep / "s", **SMALL)
    assert told.remarks == () and told.computed == 6 and told.features[0][0].input == "64 px 12-bit"
    assert told.features[0][0].key != as_ever.features[0][0].key == plain.features[0][0].key
    store = FeatureStore(deep / "s")
    X = [store.read(dataset=run.dataset, key=run.features[0][0].key).X for run in (told, plain, as_ever)]
    np.testing.assert_array_equal(X[0], X[1])
    assert not np.array_equal(X[0], X[2])
    again = extract(deep / "deep", deep / "s", **SMALL, bit_depth=12)
    assert (again.computed, again.remarks, again.notes) == (0, (), ())


def test_truncated_files_are_taken_where_asked_for_under_another_key(deep):
    place = deep / "plain" / "a" / "0.png"
    place.write_bytes(place.read_bytes()[:-2000])
    without = extract(deep / "plain", deep / "s", **SMALL)
    assert [path for path, _ in without.failed] == ["a/0.png"] and without.remarks == ()
    allowed = extract(deep / "plain", deep / "s", **SMALL, allow_truncated=True)
    assert allowed.failed == () and allowed.computed == 6
    assert [path for path, _ in allowed.remarks] == ["a/0.png"]
    assert allowed.notes == ("1 image is cut short or damaged; what could be decoded was taken",)
    assert allowed.features[0][0].key != without.features[0][0].key


def test_earlier_failures_that_are_none_any_more_are_told_and_retried_where_asked_for(deep, monkeypatch):
    data = (deep / "plain" / "a" / "0.png").read_bytes()
    at = data.index(b"IDAT") - 4
    bomb = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5 << 20)))
    (deep / "plain" / "a" / "0.png").write_bytes(data[:at] + bomb + data[at:])
    with monkeypatch.context() as earlier:
        earlier.setattr(decode, "bare_files", lambda *_: iter(()))
        (failure,) = extract(deep / "plain", deep / "s", **SMALL).failed
        assert failure[1].startswith("PNG: Decompressed data too large")
    now = extract(deep / "plain", deep / "s", **SMALL)
    assert now.computed == 0 and len(now.failed) == 1
    assert now.notes == ("1 image failed earlier and may be decoded by now: `retry_failed=True` tries again",)
    retried = extract(deep / "plain", deep / "s", **SMALL, retry_failed=True)
    assert retried.computed == 1 and retried.failed == () and retried.notes == ()
    assert extract(deep / "plain", deep / "s", **SMALL, retry_failed=True).computed == 0


def test_features_kept_as_fp16_are_a_set_of_their_own_beside_the_others(folder, tmp_path):
    store = tmp_path / "s"
    extract(folder, store, **SMALL)
    made = extract(folder, store, store_dtype="fp16", **SMALL)
    assert made.computed == made.images and made.to_json()["features"][0]["store_dtype"] == "fp16"
    again = extract(folder, store, store_dtype="fp16", **SMALL)
    assert again.computed == 0 and extract(folder, store, **SMALL).computed == 0
    opened = FeatureStore(store)
    whole, half = (opened.read(store_dtype=kept) for kept in ("fp32", "fp16"))
    np.testing.assert_array_equal(half.X, whole.X.astype(np.float16).astype(np.float32))
    assert half.ids == whole.ids and half.fingerprint == whole.fingerprint.stored_as("fp16")
