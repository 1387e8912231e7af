"""Checkpoints: the last or the one before always loads."""

import pytest
import torch

from classifiers.training.checkpoint import CheckpointFolder
from featstore.errors import StoreWriteError, TrainingError
from featstore.system import fsio


def save(folder, value):
    folder.save({"epochs": 3}, {"step": value}, {"w": torch.full((2, 3), float(value)), "n": torch.tensor(value)})


def test_the_latest_comes_back_bit_for_bit(tmp_path):
    folder = CheckpointFolder(tmp_path / "run")
    assert folder.load() is None and not folder.begun
    tensors = {"a/b": torch.randn(3, 4), "step": torch.tensor(7.0), "empty": torch.empty(0), "count": torch.tensor(3)}
    folder.save({"epochs": 3}, {"step": 1, "loss": 0.1}, tensors)
    found = CheckpointFolder(tmp_path / "run").load()
    assert found is not None and folder.begun
    assert found.settings == {"epochs": 3} and found.progress == {"step": 1, "loss": 0.1}
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor) and found.tensors[name].dtype == tensor.dtype


def test_many_saves_leave_two_files_and_the_numbers_go_on_after_a_restart(tmp_path):
    folder = CheckpointFolder(tmp_path / "run")
    for value in range(5):
        save(folder, value)
    assert len(list((tmp_path / "run").iterdir())) == 2
    again = CheckpointFolder(tmp_path / "run")
    assert again.load().number == 5
    save(again, 5)
    assert CheckpointFolder(tmp_path / "run").load().progress == {"step": 5}


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove"])
def test_when_the_last_is_damaged_the_one_before_loads(tmp_path, damage):
    folder = CheckpointFolder(tmp_path / "run")
    for value in (1, 2, 3):
        save(folder, value)
    last = tmp_path / "run" / "checkpoint-1.safetensors"
    data = bytearray(last.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
        last.write_bytes(data)
    elif damage == "remove":
        last.unlink()
    else:
        last.write_bytes(data[: 0 if damage == "empty" else len(data) // 2])
    found = CheckpointFolder(tmp_path / "run").load()
    assert found.progress == {"step": 2}
    torch.testing.assert_close(found.tensors["w"], torch.full((2, 3), 2.0))


def test_a_disk_that_refuses_leaves_the_newer_one(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path / "run")
    save(folder, 1)
    save(folder, 2)

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsio.os, "write", full)
    with pytest.raises(StoreWriteError, match="disk is full"):
        save(folder, 3)
    monkeypatch.undo()
    assert CheckpointFolder(tmp_path / "run").load().progress == {"step": 2}
    save(folder, 3)
    assert CheckpointFolder(tmp_path / "run").load().progress == {"step": 3}


def test_when_none_can_be_read_that_is_said(tmp_path):
    folder = CheckpointFolder(tmp_path / "run")
    save(folder, 1)
    (tmp_path / "run" / "checkpoint-1.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"checkpoint-1.*delete it to begin anew"):
        CheckpointFolder(tmp_path / "run").load()


def test_clearing_leaves_nothing_and_spares_what_is_not_its_own(tmp_path):
    folder = CheckpointFolder(tmp_path / "run")
    folder.clear()
    save(folder, 1)
    folder.clear()
    assert not (tmp_path / "run").exists()
    save(folder, 1)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    folder.clear()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["notes.txt"]
