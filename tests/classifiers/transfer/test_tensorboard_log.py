"""TensorBoard logs, an extra."""

import sys
import types

import pytest

from classifiers.transfer.tensorboard_log import TensorBoardLog
from featstore.errors import MissingExtraError

ENTRY = {"epoch": 2, "loss": 0.5, "train_accuracy": None, "valid_accuracy": 0.75, "valid_log_loss": 0.6, "step": 9}


def test_its_absence_is_one_sentence_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'featstore\[tensorboard\]'"):
        TensorBoardLog(tmp_path)


def test_every_number_of_an_epoch_is_written(monkeypatch, tmp_path):
    written, ended = [], []

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == tmp_path / "logs"

        def add_scalar(self, *entry):
            written.append(entry)

        def flush(self):
            pass

        def close(self):
            ended.append(True)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    with TensorBoardLog(tmp_path / "logs") as log:
        log(ENTRY)
        log(ENTRY | {"rate_factor": 0.5})
    assert written[:3] == [("loss", 0.5, 2), ("valid_accuracy", 0.75, 2), ("valid_log_loss", 0.6, 2)]
    assert [name for name, *_ in written[3:]] == [f"{name} (rates x 0.5)" for name, *_ in written[:3]]
    assert ended == [True]
