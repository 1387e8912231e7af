"""The command extract, as a user runs it."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from featstore import FeatureStore
from featstore_scripts import options
from featstore_scripts.extract import extract
from tests.support.deep_pictures import deep_png
from tests.support.pictures import texture, write_tree

SMALL = ["--backbone", "mobilenet_v3_small", "--weights", "none", "--input-size", "32", "--engine", "eager", "-j", "0"]


def run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(extract, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.fixture
def photos(tmp_path):
    return write_tree(tmp_path / "my photos", each=5)


def test_how_a_weights_file_was_read_is_told_recorded_and_no_other_way_of_computing(photos, tmp_path, capsys):
    import torch
    from torchvision.models import mobilenet_v3_small

    state = mobilenet_v3_small().state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"model": {**{f"net.{k}": v for k, v in state.items()}, "loss.w": torch.ones(2)}}, tmp_path / "w.pth")
    given = [photos, "-s", tmp_path / "store", *SMALL]
    named = ["--weights", tmp_path / "w.pth"]
    status, out, _ = run([*given, *named], capsys)
    assert status == 0 and "note: w.pth: left out: loss.w" in out and "stand behind" not in out
    status, out, _ = run([*given, *named, "--verbose"], capsys)  # from the cache, without the network
    assert "weights: w.pth: the network's names stand behind 'model/net.'; left out: loss.w" in out
    store = FeatureStore(tmp_path / "store")
    (info,) = store.features()
    assert [way["weights_note"].startswith("w.pth: the network's") for way in info.provenance] == [True]
    write_tree(photos.parent / "more", each=7)
    given[0] = photos.parent / "more"
    status, out, _ = run([*given, "--weights", tmp_path / "plain.pth", "--strict"], capsys)  # the same features
    assert status == 0 and "note:" not in out and len(FeatureStore(tmp_path / "store").features()) == 1


def test_it_says_what_it_did_and_that_weights_are_random(photos, tmp_path, capsys):
    (photos / "ants" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    status, out, err = run([photos, "--store", tmp_path / "a store", *SMALL], capsys)
    assert status == 0 and err == ""
    assert "mobilenet_v3_small avgpool avg fp32 32 px (576 numbers, weights random (seed 0))" in out
    assert "my photos: 11 images, computed 11, cached 0, failed 1" in out and "waiting for data" in out
    assert "failed: ants/bad.jpg: " in out
    status, out, _ = run([photos, "-s", tmp_path / "a store", *SMALL], capsys)
    assert "computed 0, cached 11, failed 1" in out and "images/s" not in out


def test_json_is_one_document_of_the_stable_format(photos, tmp_path, capsys):
    status, out, err = run(
        [photos, "-s", tmp_path / "s", "--node", "features.3", "--node", "avgpool", "--json", *SMALL], capsys
    )
    document = json.loads(out)
    assert status == 0 and err == ""
    stable = {"format", "dataset", "images", "computed", "cached", "failed", "seconds", "images_per_second", "features"}
    assert stable <= set(document) and document["format"] == 1
    assert [(f["node"], f["dim"]) for f in document["features"]] == [("features.3", 24), ("avgpool", 576)]
    assert (document["images"], document["computed"], document["cached"], document["failed"]) == (10, 10, 0, [])


def test_a_split_is_held_out_and_given_up(photos, tmp_path, capsys):
    store = tmp_path / "s"
    assert run([photos, "-s", store, "--split", "test=0.4", *SMALL], capsys)[0] == 0
    assert (FeatureStore(store).read().splits == "test").sum() == 4
    status, out, _ = run([photos, "-s", store, *SMALL], capsys)
    assert status == 0 and "kept the parts held out by an earlier --split" in out
    assert run([photos, "-s", store, "--no-split", *SMALL], capsys)[0] == 0
    assert set(FeatureStore(store).read().splits) == {""}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--split", "test"], "is not NAME=FRACTION"),
        (["--split", "train=0.5"], "is not NAME=FRACTION"),
        (["--split", "test=1.5"], "is not NAME=FRACTION"),
        (["--split", "test=0.2", "--no-split"], "exclude each other"),
        (["--precision", "int8"], "is not one of"),
        (["--input-size", "8"], "8 is not in the range"),
        (["--device", "gpu"], "is not auto, cpu, cuda, mps, cuda:N, or several"),
    ],
)
def test_wrong_usage_is_status_2_and_makes_no_store(photos, tmp_path, capsys, arguments, sentence):
    status, out, err = run([photos, "-s", tmp_path / "s", *arguments], capsys)
    assert status == 2 and sentence in err and out == "" and not (tmp_path / "s").exists()


def test_many_failures_are_cut_and_the_rest_named(tmp_path, capsys):
    folder = write_tree(tmp_path / "p", each=2)
    for i in range(25):
        (folder / "ants" / f"bad{i:02d}.jpg").write_bytes(b"\xff\xd8\xff" + bytes([i]))
    status, out, _ = run([folder, "-s", tmp_path / "s", *SMALL], capsys)
    assert status == 0 and out.count("  failed: ") == 20 and "and 5 more: featstore info" in out


def test_ctrl_c_commits_what_is_done_and_the_next_run_goes_on(tmp_path):
    folder = write_tree(tmp_path / "p", each=400)
    words = ["extract", str(folder), "-s", str(tmp_path / "s"), *SMALL]
    small_shards = (  # so that most of the work is still to come when the first rows are committed
        "import sys; from featstore.extract import writer; writer.SHARD_ROWS = 64; "
        f"from featstore_scripts.main import cli; sys.argv[1:] = {words!r}; cli()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", small_shards], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("s/features/*/manifests/*.json")) and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    kept = f"What was computed stays in {tmp_path / 's'}; the same command goes on from there."
    assert process.returncode == 130 and err.split("\n") == [kept, "", "Interrupted.", ""]
    assert out.startswith("p: 800 images; 2 classes") and "computed" not in out  # what was found, and no result
    done = sum(info.rows for info in FeatureStore(tmp_path / "s").features())
    assert 64 <= done < 800 and FeatureStore(tmp_path / "s").verify().ok
    again = subprocess.run(
        [sys.executable, "-m", "featstore_scripts.main", *words, "--json"], capture_output=True, text=True, check=True
    )
    document = json.loads(again.stdout)
    assert (document["computed"], document["cached"]) == (800 - done, done)


def test_dark_deep_files_are_told_with_the_option_that_scales_them(tmp_path, capsys):
    for name, seed in (("ants", 1), ("bees", 5)):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for i in range(2):
            data = deep_png(texture(seed + i).astype(np.uint16) << 4)
            (tmp_path / "deep" / name / f"{i}.png").write_bytes(data)
    status, out, err = run([tmp_path / "deep", "-s", tmp_path / "s", *SMALL], capsys)
    assert status == 0 and err == ""
    assert "note: 4 images of 16 bits hold no value above " in out and "extract with --bit-depth 12\n" in out
    told = ["--bit-depth", "12", "--allow-truncated"]
    status, out, _ = run([tmp_path / "deep", "-s", tmp_path / "s", *SMALL, *told], capsys)
    assert status == 0 and "fp32 32 px allow-truncated 12-bit" in out and "note:" not in out
    assert "computed 4" in out
    status, out, _ = run([tmp_path / "deep", "-s", tmp_path / "s2", *SMALL, "--json"], capsys)
    document = json.loads(out)
    assert document["remarks"][0]["path"] == "ants/0.png" and "at most" in document["remarks"][0]["text"]
    assert run([tmp_path / "deep", "-s", tmp_path / "s", "--bit-depth", "8"], capsys)[0] == 2
