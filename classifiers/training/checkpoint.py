"""Checkpoints of a training run: two files written in turn, so that the last or the one before always loads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.models import tensor_file
from featstore.errors import FeatstoreError, StoreWriteError, TrainingError
from featstore.system import fsio

FORMAT = tensor_file.FileFormat("checkpoint", 1, TrainingError, TrainingError, "delete it to begin anew")


@dataclass(frozen=True)
class Checkpoint:
    """Where a training run was.

    Attributes
    ----------
    number : int
        Counted from 1; the higher one is the later.
    settings : dict
        What the run was asked for, JSON-able.
    progress : dict
        Step, epoch, history, JSON-able.
    tensors : dict of str to Tensor
        Weights, averages, optimiser state; on the CPU.
    """

    number: int
    settings: dict[str, Any]
    progress: dict[str, Any]
    tensors: dict[str, Tensor]


class CheckpointFolder:
    """The checkpoints of one run.

    Parameters
    ----------
    path : Path
        Made when the first one is saved.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._number = 0

    def save(self, settings: Mapping[str, Any], progress: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write the next checkpoint over the older of the two; the newer stays until this one is whole on disk.

        Raises
        ------
        StoreWriteError
            The disk refuses; the newer one is untouched.
        """
        if not self.path.is_dir():
            fsio.make_directory(self.path)
        number = self._number + 1
        document = {"number": number, "settings": dict(settings), "progress": dict(progress)}
        arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
        tensor_file.write(self._file(number), FORMAT, document, arrays)
        self._number = number

    @property
    def begun(self) -> bool:
        """Whether a checkpoint was ever saved here and not cleared."""
        return any(os.path.lexists(self._file(slot)) for slot in (0, 1))

    def load(self) -> Checkpoint | None:
        """The latest checkpoint that is whole; None where there is none.

        Raises
        ------
        TrainingError
            There are checkpoints, but none can be read.
        """
        found: list[Checkpoint] = []
        problems: list[FeatstoreError] = []
        for slot in (0, 1):
            if not os.path.lexists(self._file(slot)):
                continue
            try:
                document, arrays = tensor_file.read(self._file(slot), FORMAT)
                tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
                found.append(Checkpoint(int(document["number"]), document["settings"], document["progress"], tensors))
            except FeatstoreError as error:
                problems.append(error)
            except (KeyError, TypeError, ValueError) as error:
                problems.append(TrainingError(f"{self._file(slot)} is no checkpoint ({error!r}); {FORMAT.remedy}"))
        if not found:
            if problems:
                raise problems[0]
            return None
        latest = max(found, key=lambda checkpoint: checkpoint.number)
        self._number = latest.number
        return latest

    def clear(self) -> None:
        """Delete the checkpoints, and the folder where nothing else is in it."""
        for slot in (0, 1):
            with contextlib.suppress(StoreWriteError):
                fsio.remove(self._file(slot))
        with contextlib.suppress(OSError):
            self.path.rmdir()
        self._number = 0

    def _file(self, number: int) -> Path:
        return self.path / f"checkpoint-{number % 2}.safetensors"
