"""Promise 13: opening a store, a bundle, weights or a checkpoint runs no code and opens nothing outside it.

The attack files are made here. `sys.addaudithook` sees every file that Python opens, every process, import and pickle.
"""

import contextlib
import ctypes
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile

import h5py
import numpy as np
import pytest
import torch

from classifiers.models import tensor_file
from classifiers.models.bundle import FORMAT, load_bundle
from classifiers.training.checkpoint import CheckpointFolder
from featstore import FeatureStore
from featstore.backbone.weights_file import read_state
from featstore.errors import BundleError, FeatstoreError, StoreDamagedError, StoreError, TrainingError, WeightsError
from featstore.store.format.sealed import seal
from featstore.store.format.shard import encode
from featstore.store.maintenance.compaction import compact
from featstore.store.maintenance.garbage import collect
from featstore.store.maintenance.repair import repair
from featstore.store.maintenance.shard_check import check_shard
from featstore.store.maintenance.verification import verify
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

KEY = fingerprint().key
SECRET = "the secret file"
WATCHED = {"open", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "exec", "compile", "pickle.find_class",
           "socket.connect", "import", "os.symlink", "os.remove", "os.rename"}  # fmt: skip

seen: list[tuple[str, str]] = []
listening = False


def _hook(event, args):
    if listening and event in WATCHED:
        seen.append((event, os.fsdecode(args[0]) if args and isinstance(args[0], str | bytes | os.PathLike) else ""))


sys.addaudithook(_hook)


@contextlib.contextmanager
def untouched(path):
    """The file is not opened meanwhile, by nobody: libraries in C, which no hook sees, least of all."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        yield  # only Linux tells
        return
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), 0x20) >= 0  # IN_OPEN
        yield
        with pytest.raises(BlockingIOError):
            os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def watched(act, *allowed):
    """Do something twice, the second time under watch; what it opened outside of `allowed`, or ran."""
    global listening
    for turn in (False, True):
        seen.clear()
        listening = turn
        try:
            act()
        except FeatstoreError as error:
            found = error
        else:
            found = None
        finally:
            listening = False
    inside = tuple(map(str, allowed))
    outside = [(e, p) for e, p in seen if not (e == "open" and any(p == a or p.startswith(f"{a}/") for a in inside))]
    assert not outside, outside
    return found


class Evil:
    """A pickle of it runs a program when it is loaded."""

    def __reduce__(self):
        return (os.system, (f"touch {os.environ['FEATSTORE_ATTACK']}",))


@pytest.fixture(autouse=True)
def mark(tmp_path, monkeypatch):
    """What an attack that works leaves behind."""
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("FEATSTORE_ATTACK", str(tmp_path / "attacked"))
    yield
    assert not (tmp_path / "attacked").exists()


def hdf5(build):
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("v110", "v110")) as file:
        build(file)
    return memory.getvalue()


def forged(attack, secret):
    """A shard as a hostile hand makes it: its name and its attribute are right, one dataset is not plain data."""
    data, _ = encode(rows("abcd"), fingerprint(), PROVENANCE)
    with h5py.File(io.BytesIO(bytes(data))) as good:
        arrays, attribute = {name: good[name][()] for name in good}, good.attrs["featstore"]

    def build(file):
        file.attrs["featstore"] = attribute
        for name, array in arrays.items():
            if name != "features":
                file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True, track_times=False)
        shape = arrays["features"].shape
        if attack == "external link":
            file["features"] = h5py.ExternalLink(secret, "/features")
        elif attack == "soft link":
            file["features"] = h5py.SoftLink("/digest")
        elif attack == "external storage":
            file.create_dataset("features", shape, "<f4", external=[(secret, 0, 1 << 20)])
        elif attack == "virtual":
            layout = h5py.VirtualLayout(shape, "<f4")
            layout[:] = h5py.VirtualSource(secret, "features", shape)
            file.create_virtual_dataset("features", layout)
        elif attack == "compressed bomb":
            file.create_dataset("features", (1 << 14, 1 << 14), "<f4", chunks=(1 << 10, 1 << 10), compression="gzip")
        elif attack == "objects":
            file.create_dataset("features", (4,), h5py.string_dtype())
        elif attack == "references":
            file.create_dataset("features", (4,), h5py.ref_dtype)
        elif attack == "a group":
            file.create_group("features")
        elif attack == "a group in itself":
            file["features"] = file["/"]
        elif attack == "huge":
            file.create_dataset("features", (1 << 40, 1 << 20), "<f4", chunks=(1, 1 << 20), fletcher32=True)

    return hdf5(build)


SHARD_ATTACKS = ["external link", "soft link", "external storage", "virtual", "compressed bomb", "objects",
                 "references", "a group", "a group in itself", "huge"]  # fmt: skip


@pytest.mark.parametrize("attack", SHARD_ATTACKS)
def test_a_shard_that_leads_elsewhere_is_refused_and_nothing_outside_is_opened(tmp_path, attack):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    data = forged(attack, str(tmp_path / "secret"))
    folder = store.path / "features" / KEY / "shards"
    path = folder / f"{hashlib.sha256(data).hexdigest()}.h5"
    path.write_bytes(data)
    with untouched(tmp_path / "secret"):
        error = watched(lambda: check_shard(path, None, KEY), store.path)
        assert isinstance(error, StoreDamagedError), error
        watched(lambda: store.verify(), store.path, "/sys", "/proc")
    assert [p.path for p in store.verify().problems] == [str(path.relative_to(store.path))]
    assert SECRET not in str(store.verify().problems)
    store.repair()
    assert store.verify().ok and not path.exists()


@pytest.mark.parametrize("name", ["store.json", "features", f"features/{KEY}/manifests/00000001.json",
                                  f"features/{KEY}/fingerprint.json", "images/pets/00000001.h5", "shard"])  # fmt: skip
@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_links_pipes_and_devices_in_a_store_are_not_followed(tmp_path, name, kind):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("abcd"), PROVENANCE)
    (shard,) = (store.path / "features" / KEY / "shards").iterdir()
    victim = shard if name == "shard" else store.path / name
    moved = tmp_path / "moved"
    victim.rename(moved)
    if kind == "pipe":
        os.mkfifo(victim)
    else:
        victim.symlink_to(moved if kind == "link" else "/dev/zero")
    error = watched(lambda: FeatureStore(store.path).read(), store.path, "/sys", "/proc")
    assert isinstance(error, StoreError), error


@pytest.mark.parametrize("folder", ["tmp", "quarantine", "images", "features", "images/pets", f"features/{KEY}",
                                    f"features/{KEY}/shards", f"features/{KEY}/manifests"])  # fmt: skip
def test_a_folder_that_leads_elsewhere_is_refused_by_all_that_read_and_write(tmp_path, folder):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("abcd"), PROVENANCE)
    (store.path / folder).rename(tmp_path / "outside")
    (store.path / folder).symlink_to(tmp_path / "outside")
    before = sorted(path.name for path in (tmp_path / "outside").rglob("*"))
    assert [problem.path for problem in verify(store.path).problems] == [folder]
    for deed in (FeatureStore, repair, compact, collect):
        with pytest.raises(StoreError, match=rf"{folder} is a symbolic link; a store holds no links"):
            deed(store.path)
    assert sorted(path.name for path in (tmp_path / "outside").rglob("*")) == before


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_something_else_under_the_next_number_stops_nobody_and_is_reported(tmp_path, kind):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("abcd"))
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    taken = [store.path / "features" / KEY / "manifests" / "00000002.json", store.path / "images/pets/00000002.h5"]
    for path in taken:
        path.mkdir() if kind == "folder" else os.mkfifo(path)
    store.commit(fingerprint(), rows("cd"), PROVENANCE)
    with pytest.raises(StoreDamagedError, match=r"00000002\.h5 is no regular file"):
        store.put_imageset(images("abc"))
    names = [str(path.relative_to(store.path)) for path in taken]
    assert [problem.path for problem in store.verify().problems] == sorted(names)
    store.repair()
    assert store.verify().ok and len(FeatureStore(store.path).read().X) == 4
    assert FeatureStore(store.path).put_imageset(images("abc"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize("where", ["transform", "provenance"])
def test_a_shard_whose_description_holds_no_number_is_damage_that_repair_takes_away(tmp_path, where, number):
    store = FeatureStore(tmp_path / "s", create=True)
    store.put_imageset(images("ab"))
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    (shard,) = (store.path / "features" / KEY / "shards").iterdir()
    file = io.BytesIO(shard.read_bytes())
    with h5py.File(file, "r+") as opened:
        text = bytes(opened.attrs["featstore"]).decode()
        document = json.loads(text)
        (document["fingerprint"]["transform"] if where == "transform" else document["provenance"])["odd"] = 12345
        text = json.dumps(document, sort_keys=True, separators=(",", ":")).replace("12345", number)
        del opened.attrs["featstore"]
        opened.attrs.create("featstore", np.bytes_(text.encode()))
    forged = shard.with_name(f"{hashlib.sha256(file.getvalue()).hexdigest()}.h5")
    forged.write_bytes(file.getvalue())
    assert [problem.path for problem in store.verify().problems] == [str(forged.relative_to(store.path))]
    store.repair()
    assert store.verify().ok and not forged.exists()


def test_documents_from_strangers_are_refused_in_a_sentence(tmp_path):
    store = FeatureStore(tmp_path / "s", create=True)
    store.commit(fingerprint(), rows("ab"), PROVENANCE)
    path = store.path / "features" / KEY / "manifests" / "00000001.json"
    good = path.read_bytes()
    document = {k: v for k, v in json.loads(good).items() if k not in ("format", "sha256")}
    shard = document["shards"][0]
    attacks = {
        "deep": b"[" * 100_000,
        "number": b'{"a":' + b"9" * 10_000 + b"}",
        "huge shape": seal({**document, "shards": [{**shard, "rows": 1 << 47, "dim": 1 << 47}]}),
        "path as hash": seal({**document, "shards": [{**shard, "sha256": "../" * 21 + "x"}]}),
        "objects": seal(
            {**document, "shards": [{**shard, "layout": {**shard["layout"], "features": [0, "|O", [2, 8]]}}]}
        ),
        "beyond": seal(
            {**document, "shards": [{**shard, "layout": {**shard["layout"], "features": [1 << 40, "<f4", [2, 8]]}}]}
        ),
        "negative": seal({**document, "shards": [{**shard, "bytes": -1}]}),
        "twice": seal({**document, "shards": [shard, shard]}),
    }
    for name, data in attacks.items():
        path.write_bytes(data)
        error = watched(lambda: FeatureStore(store.path).features(), store.path)
        assert isinstance(error, StoreDamagedError), name
    path.write_bytes(good)
    assert FeatureStore(store.path).features()


def weights_attacks(folder):
    """Files that are no weights: path by name."""
    evil = pickle.dumps(Evil())
    (folder / "plain.pth").write_bytes(evil)
    torch.save({"w": torch.zeros(2), "x": Evil()}, folder / "saved.pth")
    torch.save({"w": torch.zeros(2), "x": Evil()}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50 << 20))
    with zipfile.ZipFile(folder / "script.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/constants.pkl", evil)
    (folder / "header.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + b"{" + bytes(50))
    return sorted(p for p in folder.iterdir() if p.suffix in (".pth", ".safetensors"))


def test_weights_that_would_run_code_or_unpack_without_end_are_refused(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    attacks = weights_attacks(folder)
    assert len(attacks) == 6
    for path in attacks:
        with pytest.raises(WeightsError):
            read_state(path)


@pytest.mark.parametrize("payload", ["pickle", "torch", "npy", "zip", "json", "nothing"])
def test_bundles_and_checkpoints_that_are_pickles_or_anything_else_are_refused(tmp_path, payload):
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "checkpoint-1.safetensors"
    if payload == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif payload == "torch":
        torch.save({"x": Evil()}, path)
    elif payload == "npy":
        with path.open("wb") as file:
            np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    elif payload == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../escaped", b"x")
    else:
        path.write_bytes(b'{"__class__": "os.system"}' if payload == "json" else b"")
    assert isinstance(watched(lambda: load_bundle(path), folder), BundleError)
    assert isinstance(watched(lambda: CheckpointFolder(folder).load(), folder), TrainingError)
    assert not (tmp_path.parent / "escaped").exists()


def test_a_bundle_opens_no_file_that_its_recipe_names(tmp_path):
    from classifiers.heads.registry import make_head
    from classifiers.models.bundle import save_bundle
    from tests.support.feature_sets import feature_set

    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    data = feature_set(rng.normal(size=(30, 3)) + y[:, None], y)
    recipe = {"format": 1, "backbone": "resnet18", "weights": {"kind": "file", "path": str(tmp_path / "secret")}}
    head = make_head("centroid", budget="quick", cv=3).fit(data.X, data.y)
    save_bundle(tmp_path / "b", head, data, recipe, data.classes, name="centroid")
    assert watched(lambda: load_bundle(tmp_path / "b"), tmp_path / "b") is None
    document, arrays = tensor_file.read(tmp_path / "b", FORMAT)
    tensor_file.write(tmp_path / "b", FORMAT, {**document, "head": {"name": "../../os", "meta": {}}}, arrays)
    assert isinstance(watched(lambda: load_bundle(tmp_path / "b"), tmp_path / "b"), BundleError)


def test_the_watch_on_a_file_notices_that_it_is_opened(tmp_path):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"), untouched(tmp_path / "secret"):
        (tmp_path / "secret").read_text()


def test_the_hook_notices_what_it_is_there_for(tmp_path):
    with pytest.raises(AssertionError):
        watched(lambda: (tmp_path / "secret").read_text(), tmp_path / "nowhere")
    with pytest.raises(AssertionError):
        watched(lambda: pickle.loads(pickle.dumps(os.getcwd)), tmp_path)  # noqa: S301
    program = textwrap.dedent("import pickle, sys; pickle.loads(sys.stdin.buffer.read())")
    subprocess.run([sys.executable, "-c", program], input=pickle.dumps(Evil()), check=True)
    attacked = tmp_path / "attacked"
    assert attacked.exists()  # the attack is one
    attacked.unlink()
