import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from featstore.backbone.weights_file import read_state
from featstore.errors import WeightsError, WeightsNotFoundError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.0, 2.0])}


class Evil:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def same(state, expected=None):
    expected = STATE if expected is None else expected
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("new", [True, False])
def test_torch_files_old_and_new_are_read(tmp_path, new):
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    same(read_state(tmp_path / "w.pth"))


def test_safetensors_are_read_whatever_the_extension(tmp_path):
    save_file(STATE, tmp_path / "w.pth")
    same(read_state(tmp_path / "w.pth"))


@pytest.mark.parametrize("save", [torch.save, save_file])
def test_tensors_do_not_change_with_the_file(tmp_path, save):
    save({"a": torch.ones(10_000)}, tmp_path / "w.pth")
    state = read_state(tmp_path / "w.pth")
    size = (tmp_path / "w.pth").stat().st_size
    with (tmp_path / "w.pth").open("r+b") as file:
        file.write(bytes(size))
    assert torch.equal(state["a"], torch.ones(10_000))


@pytest.mark.parametrize("key", ["state_dict", "encoder", "net/work"])
def test_the_places_of_tensors_stand_before_their_names(tmp_path, key):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1, momentum=0.9).state_dict()
    torch.save({"epoch": 7, key: STATE, "more": [{"a": torch.ones(1)}], "optimizer": optimizer}, tmp_path / "w.pth")
    same(read_state(tmp_path / "w.pth"), {f"{key}/{n}": v for n, v in STATE.items()} | {"more/0/a": torch.ones(1)})


def test_parameters_come_without_gradients(tmp_path):
    torch.save({"a": nn.Parameter(torch.ones(2))}, tmp_path / "w.pth")
    assert not read_state(tmp_path / "w.pth")["a"].requires_grad


@pytest.mark.parametrize("new", [True, False])
def test_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, new):
    torch.save({"a": Evil(tmp_path / "pwned")}, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(WeightsError, match=r"would run code when loaded \(it refers to (posix|nt)\.mkdir\)"):
        read_state(tmp_path / "w.pth")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bare_pickle_is_refused_and_not_run(tmp_path, protocol):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Evil(tmp_path / "pwned"), protocol))
    with pytest.raises(WeightsError, match="would run code when loaded"):
        read_state(tmp_path / "w.pth")
    assert not (tmp_path / "pwned").exists()


def test_whole_module_is_refused(tmp_path):
    torch.save(nn.Sequential(nn.Bilinear(2, 2, 2)), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="would run code .*torch.nn.modules.*save only the tensors"):
        read_state(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"TorchScript program, not weights; save its state_dict\(\)"):
        read_state(tmp_path / "w.pt")


def test_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "w.pth")
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as old,
        zipfile.ZipFile(tmp_path / "z.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(WeightsError, match="packed again"):
        read_state(tmp_path / "z.pth")


def test_other_zip_is_no_weights_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match="not one that torch.save wrote"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and no more", "truncated or damaged"),
        (b"these are no weights\n" * 9, "is no weights file: it starts with b'these ar'"),
        (b"\x80\x02}q\x00.", "truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file, as Keras writes; expected a .pth file"),
        (b"<!DOCTYPE html><html>", "it is a web page .it starts with b'<!DOCTYP'.: download the file itself"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12",
            "it is a pointer of Git LFS, not the file itself",
        ),
        (b"\x1f\x8b\x08" + bytes(20), "packed with gzip: unpack it first"),
        (
            b'{"metadata": {"total_size": 1}, "weight_map": {"conv1.weight": "model-00001-of-00002.safetensors"}}',
            "it is the index of a model in several .safetensors files, and holds no tensors: give the file",
        ),
        (b'{"epochs": 3}', "it is a JSON file; expected a .pth file"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:" + bytes(99), "it looks like an ONNX model"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{broken json....", "no readable safetensors file"),
    ],
)
def test_bytes_that_are_no_weights(tmp_path, content, match):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=match):
        read_state(tmp_path / "w.pth")


def test_models_of_keras_and_packed_files_are_named(tmp_path):
    for name, held in (("w.keras", ["metadata.json", "config.json", "model.weights.h5"]), ("w.zip", ["w.pth"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for inner in held:
                archive.writestr(inner, "x")
    with pytest.raises(WeightsError, match="is a model of Keras, but not one that torch.save wrote"):
        read_state(tmp_path / "w.keras")
    with pytest.raises(WeightsError, match="is a zip file, .*it holds no data.pkl, but w.pth"):
        read_state(tmp_path / "w.zip")


def test_arrays_in_an_npz_file_are_named(tmp_path):
    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in STATE.items()})
    with pytest.raises(
        WeightsError, match=r"is an .npz file of NumPy arrays, but .*\(it holds no data.pkl, but a.weight"
    ):
        read_state(tmp_path / "w.npz")


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_later_protocol_of_pickle_is_named(tmp_path, protocol):
    torch.save(STATE, tmp_path / "w.pth", pickle_protocol=protocol)
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": {"a": np.ones(3)}}, protocol))
    for name in ("w.pth", "w.pkl"):
        with pytest.raises(WeightsError, match=f"is a pickle of protocol {protocol}, .* in its usual protocol, or as"):
            read_state(tmp_path / name)


def test_a_folder_of_weights_names_a_file_in_it(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="is no file; .*, such as `weights=.*model.safetensors"):
        read_state(tmp_path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="does not exist; check the path"):
        read_state(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="is no file"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([1, 2], "holds a list; expected a state dict"),
        ({}, "holds an empty mapping"),
        ({"epoch": 3, "encoder": {}}, r"holds no tensors \(a mapping of 'epoch', 'encoder'\); expected a state dict"),
        ({(1, 2): torch.zeros(2)}, r"holds no tensors \(a mapping of \(1, 2\)\)"),
    ],
)
def test_content_that_is_no_state_dict(tmp_path, content, match):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=match):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("new", [True, False])
def test_truncated_anywhere_is_one_clear_error(tmp_path, new):
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=new)
    whole = buffer.getvalue()
    for length in range(1, len(whole) - 1, 37):
        (tmp_path / "w.pth").write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="truncated|damaged|no weights file"):
            read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("new", [True, False])
def test_damaged_bytes_never_raise_anything_else(tmp_path, new):
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=new)
    whole = buffer.getvalue()
    chance = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 2, 8])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (tmp_path / "w.pth").write_bytes(damaged)
        try:
            read_state(tmp_path / "w.pth")
        except WeightsError as error:
            assert str(tmp_path / "w.pth") in str(error)
