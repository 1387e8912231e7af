"""Learner: one optimiser step of the open part, its average, and the memory and precision that it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from classifiers.training.augment import mix
from classifiers.training.averaging import Averaging, live_tensors, put
from classifiers.training.loaders import Feed
from classifiers.training.objective import class_weights, cross_entropy, targets
from classifiers.training.regimes import Settings
from classifiers.training.schedule import Schedule, parameter_groups
from classifiers.training.unfreezing import Reopening
from featstore.errors import DeviceError, TrainingError

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class NotFiniteError(TrainingError):
    """The loss, a gradient or the validation became NaN or infinite."""


class Learner:
    """Weights on their way.

    Parameters
    ----------
    reopening : Reopening
        On `device`.
    feed : Feed
    y : ndarray of shape (n,), int64
        Of the training rows, in the order of the head's logits.
    settings : Settings
    device : torch.device

    Attributes
    ----------
    batch : int
        Images an optimiser step.
    steps_per_epoch : int
        The rest of an epoch that fills no batch is left out; which images that is changes with every epoch.
    part : int
        Images a pass; less than `batch` where memory did not suffice.
    average : Averaging
    """

    def __init__(
        self, reopening: Reopening, feed: Feed, y: NDArray[np.int64], settings: Settings, device: torch.device
    ) -> None:
        self.reopening, self._feed, self._settings, self._device = reopening, feed, settings, device
        self._y = torch.from_numpy(y)
        self._classes = len(reopening.classifier.classes)
        self._weights = class_weights(y, self._classes, settings.class_weight).to(device)
        self.batch = self.part = min(settings.batch_size, len(y))
        self.steps_per_epoch = len(y) // self.batch
        self.schedule = Schedule(settings.epochs * self.steps_per_epoch, settings.warmup)
        parts = reopening.open_parts()
        self.live = live_tensors(parts)
        self.average = Averaging(parts, settings.ema)
        groups = parameter_groups(
            parts,
            reopening.blocks,
            learning_rate=settings.learning_rate,
            lowest=settings.lowest_rate,
            head_rate=settings.head_rate,
            weight_decay=settings.weight_decay,
        )
        self._parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._optimizer = torch.optim.AdamW(groups)
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")

    def step(self, rows: NDArray[np.intp], epoch: int, step: int) -> tuple[float, int]:
        """One optimiser step, in as many parts as memory asks for.

        Parameters
        ----------
        rows : ndarray of shape (b,), int
        epoch, step : int
            Counted from 0; they seed what is random.

        Returns
        -------
        loss : float
            Mean over the batch.
        right : int
            Images whose class had the largest logit.

        Raises
        ------
        NotFiniteError
            The message names the step; the weights are as before it.
        DeviceError
            Not even one image fits into memory.
        """
        loss, right = self._gradients_that_fit(rows, epoch, step)
        place = f"at step {step + 1} (epoch {epoch + 1})"
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss became {loss} {place}")
        self._scaler.unscale_(self._optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.clip))
        if not math.isfinite(norm) and not self._scaler.is_enabled():  # the scaler skips such a step by itself
            raise NotFiniteError(f"the gradient became {norm} {place}")
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * self.schedule.factor(step)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self.average.update(step)
        return loss, right

    @torch.no_grad()
    def judge(self, y: NDArray[np.int64]) -> tuple[NDArray[np.bool_], float]:
        """Put the averaged weights before the validation part.

        Returns
        -------
        right : ndarray of shape (n,), bool
        log_loss : float
        """
        self.reopening.eval()
        logits = []
        with self.average.in_place():
            for i in range(0, len(y), self.batch):
                values = self._feed.validation(np.arange(i, min(i + self.batch, len(y))))
                logits.append(self.reopening(values).cpu())
        scores, labels = torch.cat(logits), torch.from_numpy(y)
        return (scores.argmax(1) == labels).numpy(), float(F.cross_entropy(scores.double(), labels))

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        tensors = {f"now/{name}": tensor for name, tensor in self.live.items()}
        tensors |= {f"average/{name}": tensor for name, tensor in self.average.tensors.items()}
        for i, parameter in enumerate(self._parameters):
            for name, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{i}/{name}"] = value
        for name, number in self._scaler.state_dict().items():
            tensors[f"scaler/{name}"] = torch.tensor(number, dtype=torch.float64)
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to what `tensors` returned.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            They are of another network.
        """
        put(self.live, {name: tensors[f"now/{name}"] for name in self.live})
        put(self.average.tensors, {name: tensors[f"average/{name}"] for name in self.live})
        state = self._optimizer.state_dict()
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state["state"].setdefault(int(index), {})[key] = value
        self._optimizer.load_state_dict(state)
        scaler = {name: tensors[f"scaler/{name}"].item() for name in self._scaler.state_dict()}
        if scaler:
            self._scaler.load_state_dict({**scaler, "_growth_tracker": int(scaler["_growth_tracker"])})

    def _gradients_that_fit(self, rows: NDArray[np.intp], epoch: int, step: int) -> tuple[float, int]:
        """Gradients of a batch; where memory does not suffice, in parts of half the size."""
        while True:
            try:
                return self._gradients(rows, epoch, step)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                self._optimizer.zero_grad(set_to_none=True)
                if self.part == 1:
                    raise DeviceError(
                        f"not even one image fits into the memory of {self._device}; reopen less of the network "
                        '(`reopen="NODE"`), or take a smaller input'
                    ) from error
                self.part //= 2
            if self._device.type == "cuda":
                torch.cuda.empty_cache()  # outside of the handler: until then the error holds the tensors

    def _gradients(self, rows: NDArray[np.intp], epoch: int, step: int) -> tuple[float, int]:
        """Gradients of the mean loss of a batch; the loss, and how many images were right."""
        settings = self._settings
        self.reopening.set_training(settings.adapt_statistics)
        # Dropout draws from torch's generator; seeded by the step, a resumed run draws the same.
        torch.manual_seed((settings.seed * 1_000_003 + step) % (1 << 63))
        with self._precision():
            parts = range(0, len(rows), self.part)
            values = torch.cat([self._feed.training(rows[i : i + self.part], epoch) for i in parts]).float()
        y = self._y[torch.from_numpy(rows)].to(self._device)
        wanted = targets(y, self._classes, settings.label_smoothing)
        if settings.augmentation is not None:
            values, wanted = mix(values, wanted, settings.augmentation.mixup, settings.seed, step)
        whole = (wanted * self._weights).sum()
        total, right = 0.0, 0
        for i in parts:
            with self._precision():
                logits = self.reopening(values[i : i + self.part])
            loss = cross_entropy(logits, wanted[i : i + self.part], self._weights) / whole
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            right += int((logits.detach().argmax(1) == y[i : i + self.part]).sum())
        return total, right

    def _precision(self) -> torch.autocast:
        precision = self._settings.precision
        return torch.autocast(self._device.type, dtype=_PRECISIONS[precision], enabled=precision != "fp32")


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
