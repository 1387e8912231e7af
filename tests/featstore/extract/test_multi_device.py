"""Several devices at once: here the CPU stands in for each of them."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from featstore import FeatureStore
from featstore.backbone import Backbone
from featstore.errors import DeviceError, ImageSetError, UnknownNameError
from featstore.extract import extract
from featstore.extract.job import SERVE
from featstore.extract.multi_device import extract_on_devices
from featstore.images.samples import write_textures
from tests.support.killing import store_digest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

SMALL = {"backbone": "resnet18", "weights": "none", "input_size": 64, "workers": 0, "engine": "eager", "batch_size": 4}
TWO = {**SMALL, "device": "cpu,cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = write_textures(tmp_path_factory.mktemp("sets") / "textures", per_class=4, seed=1)
    first = sorted(place.rglob("*.jpg"))[0]
    first.with_name("broken.jpg").write_bytes(first.read_bytes()[:200])
    first.with_name("twin.jpg").write_bytes(first.read_bytes())
    return place


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("alone") / "s"
    return extract(folder, place, **SMALL), FeatureStore(place)


def children():
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def test_two_devices_compute_the_rows_of_one(folder, alone, tmp_path):
    told = []
    run = extract(folder, tmp_path / "s", **TWO, progress=lambda *now: told.append(now))
    one, reference = alone
    store = FeatureStore(tmp_path / "s")
    assert store_digest(store.path) == store_digest(reference.path)
    np.testing.assert_array_equal(store.read().X, reference.read().X)
    assert (run.computed, run.failed) == (one.computed, one.failed) and len(run.failed) == 1
    assert run.provenance == {**one.provenance, "devices": ["cpu", "cpu"]}
    assert max(done for stage, done, _, _ in told if stage == "extract") == 33  # of 34 files two are the same


def test_each_device_has_rows_of_its_own(folder, alone, tmp_path):
    parts = [extract(folder, tmp_path / "s", **SMALL, share=(i, 3)) for i in range(3)]
    assert sum(part.computed for part in parts) == alone[0].computed and min(part.computed for part in parts) > 0
    assert store_digest(tmp_path / "s") == store_digest(alone[1].path)


def test_a_file_that_changes_meanwhile_is_named_and_not_stored(tmp_path):
    folder = write_textures(tmp_path / "textures", per_class=2, seed=1)
    victim = sorted(folder.rglob("*.jpg"))[0]

    def meddle(stage, done, total, note):
        if stage == "prepare":
            content, times = victim.read_bytes(), victim.stat()
            victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))

    run = extract(folder, tmp_path / "s", **TWO, progress=meddle)
    assert [(Path(path).name, "changed during the run" in reason) for path, reason in run.failed] == [
        (victim.name, True)
    ]


def test_what_a_device_refuses_is_said_with_its_name(folder, tmp_path):
    FeatureStore(tmp_path / "s", create=True)  # where there is none, it is said before there is one
    with pytest.raises(DeviceError, match=r"^cpu: fp16 on a CPU"):
        extract(folder, tmp_path / "s", **TWO, precision="fp16")


def test_an_unknown_name_is_the_same_error_from_another_process(folder, tmp_path):
    FeatureStore(tmp_path / "s", create=True)
    with pytest.raises(UnknownNameError, match=r"^cpu: unknown engine 'fast'; close matches: auto"):
        extract(folder, tmp_path / "s", **{**TWO, "engine": "fast"})


def test_a_crash_is_told_with_its_last_line(folder, tmp_path):
    with pytest.raises(DeviceError, match=r"^cpu: its process ended with status 1 \(TypeError: .*threads"):
        extract_on_devices(
            ["cpu"], {**SMALL, "data": str(folder), "store": str(tmp_path / "s"), "threads": 3}, print, target=SERVE
        )


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its children in /proc")
def test_a_process_that_is_killed_is_an_error_and_the_next_run_completes(folder, alone, tmp_path):
    killed = []

    def kill(stage, done, total, note):
        if stage == "extract" and not killed:
            killed.append(children()[-1])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(DeviceError, match=r"^cpu: its process ended with status -9"):
        extract(folder, tmp_path / "s", **TWO, progress=kill)
    again = extract(folder, tmp_path / "s", **SMALL)
    assert 0 < again.computed < alone[0].computed, "the other device's rows are there"
    assert store_digest(tmp_path / "s") == store_digest(alone[1].path)


def test_interrupted_processes_commit_what_they_have_and_end(folder, alone, tmp_path):
    def interrupt(stage, done, total, note):
        if stage == "extract":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(folder, tmp_path / "s", **TWO, progress=interrupt)
    again = extract(folder, tmp_path / "s", **SMALL)
    assert again.computed < alone[0].computed
    assert store_digest(tmp_path / "s") == store_digest(alone[1].path)


def test_a_network_that_is_built_already_has_one_device(folder, tmp_path):
    backbone = Backbone("resnet18", "none", input_size=64)
    with pytest.raises(DeviceError, match=r"cpu,cpu: several devices take the name of a network"):
        extract(folder, tmp_path / "s", **{**TWO, "backbone": backbone})


def test_a_set_without_a_readable_image_is_refused_once(tmp_path):
    place = tmp_path / "bad" / "a"
    place.mkdir(parents=True)
    for name in "xyz":
        (place / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode() * 50)
    with pytest.raises(ImageSetError, match="none of the 3 images"):
        extract(tmp_path / "bad", tmp_path / "s", **TWO)
