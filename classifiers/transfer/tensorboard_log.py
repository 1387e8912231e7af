"""TensorBoardLog: the numbers of every epoch, for TensorBoard."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from featstore.errors import MissingExtraError


class TensorBoardLog:
    """Writes what `finetune(log=...)` reports.

    Parameters
    ----------
    folder : path
        Made if new.

    Raises
    ------
    MissingExtraError
        TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "TensorBoard logs need the package tensorboard; install it with `pip install 'featstore[tensorboard]'`"
            ) from error
        self._writer = SummaryWriter(Path(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def __call__(self, entry: dict[str, Any]) -> None:
        """Write one epoch's numbers; those of a training that began again stand beside those of the first attempt."""
        factor = entry.get("rate_factor", 1.0)
        again = "" if factor == 1 else f" (rates x {factor:g})"
        for name in ("loss", "train_accuracy", "valid_accuracy", "valid_log_loss"):
            if entry[name] is not None:
                self._writer.add_scalar(name + again, entry[name], entry["epoch"])
        self._writer.flush()
