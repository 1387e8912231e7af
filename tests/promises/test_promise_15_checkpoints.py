"""Promise 15: the last fine-tune checkpoint or the one before always loads: kills, a full disk, a power cut, damage."""

import errno

import pytest
import torch

from classifiers.training.checkpoint import CheckpointFolder
from featstore.errors import StoreWriteError
from featstore.system import fsio
from tests.support.faulty_os import FaultyOs, Killed, ending, failing
from tests.support.power_cut import cuts, write_tree


def save(folder, value):
    folder.save({"epochs": 9}, {"step": value}, {"w": torch.full((4,), float(value))})


def loaded(path):
    """The step of the checkpoint that loads, with the weights of that very step; 0 for none."""
    found = CheckpointFolder(path).load()
    if found is None:
        return 0
    assert torch.equal(found.tensors["w"], torch.full((4,), float(found.progress["step"])))
    return found.progress["step"]


def run(path, steps):
    folder = CheckpointFolder(path)
    folder.load()
    for value in steps:
        save(folder, value)


def test_killed_at_every_call_of_five_saves_the_last_or_the_one_before_loads(tmp_path, monkeypatch):
    number = 0
    while True:
        number += 1
        path, disk, returned = tmp_path / str(number), FaultyOs(ending(number)), 0
        with monkeypatch.context() as patch:
            patch.setattr(fsio, "os", disk)
            try:
                folder = CheckpointFolder(path)
                for value in range(1, 6):
                    save(folder, value)
                    returned = value
            except Killed:
                pass
        assert loaded(path) in (returned, returned + 1)
        run(path, range(loaded(path) + 1, 6))  # the numbers go on from what was found
        assert loaded(path) == 5
        if not disk.dead:
            break
    assert number > 25


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_refusal_at_every_call_leaves_the_newer_one(tmp_path, monkeypatch, code):
    for number in range(1, 6):
        path = tmp_path / f"{code} {number}"
        run(path, [1, 2])
        folder = CheckpointFolder(path)
        folder.load()
        with monkeypatch.context() as patch:
            patch.setattr(fsio, "os", FaultyOs(failing(number, code)))
            with pytest.raises(StoreWriteError):
                save(folder, 3)
        assert loaded(path) in (2, 3)
        run(path, [3, 4])
        assert loaded(path) == 4


def test_after_a_power_cut_at_any_moment_the_last_or_the_one_before_loads(tmp_path, quick_path, monkeypatch):
    import shutil

    recorder, ends = FaultyOs(), []
    monkeypatch.setattr(fsio, "os", recorder)
    folder = CheckpointFolder(tmp_path / "run")
    for value in range(1, 5):
        save(folder, value)
        ends.append(len(recorder.record))
    monkeypatch.undo()

    def returned(done):
        return sum(end <= done for end in ends)

    states = 0
    for done, tree in cuts(str(tmp_path), recorder.record, promised=returned):
        home = quick_path / "state"
        home.mkdir()
        write_tree(tree, str(tmp_path), home)
        assert loaded(home / "run") in (returned(done), returned(done) + 1), (done, recorder.record[done - 1])
        shutil.rmtree(home)
        states += 1
    assert states > 20


def test_damage_to_any_byte_of_the_last_leaves_the_one_before(tmp_path):
    run(tmp_path / "run", [1, 2, 3])
    last = tmp_path / "run" / "checkpoint-1.safetensors"
    good = last.read_bytes()
    for offset in range(0, len(good), 7):
        last.write_bytes(good[:offset] + bytes([good[offset] ^ 16]) + good[offset + 1 :])
        assert loaded(tmp_path / "run") in (2, 3)
    last.write_bytes(good[: len(good) // 2])
    assert loaded(tmp_path / "run") == 2
