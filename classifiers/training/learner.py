"""Learner: one optimiser step of the open part, its average, and the memory and precision that it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from classifiers.training.augment import mix
from classifiers.training.loaders import Loader
from classifiers.training.optim import (
    class_weights,
    cross_entropy,
    float_tensors,
    moving_average,
    parameter_groups,
    put,
    total_weight,
    unhurried_warmup,
    warmup_cosine,
)
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.unfreezing import UnfrozenNetwork
from classifiers.training.validation_answers import ValidationAnswers
from featstore.errors import DeviceError, TrainingError

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class NotFiniteError(TrainingError):
    """The loss, a gradient or the validation became NaN or infinite."""


class Learner:
    """Weights on their way.

    Parameters
    ----------
    unfrozen : UnfrozenNetwork
        On `device`.
    loader : Loader
    y : ndarray of shape (n,), int64
        Of the training rows, in the order of the head's logits.
    settings : FineTuneSettings
    device : torch.device

    Attributes
    ----------
    batch : int
        Images an optimiser step.
    steps : int
        In all epochs.
    steps_per_epoch : int
        The rest of an epoch that fills no batch is left out; which images that is changes with every epoch.
    part : int
        Images a pass; less than `batch` where memory did not suffice.
    live, average : dict of str to Tensor
        The weights that are trained, and their moving average, by the same names.

    Examples
    --------
    >>> from classifiers.models.image_classifier import ImageClassifier
    >>> from classifiers.training.loaders import ActivationLoader
    >>> from featstore.backbone.backbone import Backbone
    >>> backbone = Backbone("resnet18", "none", input_size=32)
    >>> network = UnfrozenNetwork(ImageClassifier(backbone, nn.Linear(512, 2), ("cat", "dog")), "head")
    >>> X, y = np.random.default_rng(0).random((8, 512), dtype=np.float32).astype(np.float16), np.arange(8) % 2
    >>> loader = ActivationLoader([X], X, seed=0, device=torch.device("cpu"))
    >>> settings = FineTuneSettings(reopen="head", epochs=2, batch_size=4, augmentation=None)
    >>> learner = Learner(network, loader, y, settings, torch.device("cpu"))
    >>> loss, right = learner.step(learner.rows(0), epoch=0, step=0)
    >>> learner.steps, loss > 0, right <= 4, sorted([*learner.rows(0), *learner.rows(1)]) == list(range(8))
    (4, True, True, True)
    """

    def __init__(
        self,
        unfrozen: UnfrozenNetwork,
        loader: Loader,
        y: NDArray[np.int64],
        settings: FineTuneSettings,
        device: torch.device,
    ) -> None:
        self.unfrozen, self._loader, self._settings, self._device = unfrozen, loader, settings, device
        self._y = torch.from_numpy(y)
        self._classes = len(unfrozen.classifier.classes)
        self._weights = class_weights(y, self._classes, settings.class_weight).to(device)
        self.batch = self.part = min(settings.batch_size, len(y))
        self.steps_per_epoch = len(y) // self.batch
        self.steps = settings.epochs * self.steps_per_epoch
        self._parts = unfrozen.open_parts()
        warmup = settings.warmup
        self._schedule = warmup_cosine(self.steps, unhurried_warmup(self.steps) if warmup is None else warmup)
        self._averaged = moving_average(self._parts, settings.ema)
        # Batches that batch norm has seen: of no use where its momentum is fixed, and a resumed run would count others.
        counters = [buffer for buffer in self._parts.buffers() if not buffer.is_floating_point()]
        self._counters = [(buffer, buffer.clone()) for buffer in counters]
        self._order, self._ordered = np.empty(0, dtype=np.intp), -1
        self.live, self.average = float_tensors(self._parts), float_tensors(self._averaged.module)
        self._set_rates(1.0)

    @property
    def images(self) -> int:
        """Training images."""
        return len(self._y)

    @property
    def unseen(self) -> int:
        """The first epoch whose variations of the images are never trained on."""
        return self._settings.epochs + 1

    def rows(self, step: int) -> NDArray[np.intp]:
        """Training rows of a step's batch, in the seeded order of its epoch.

        Parameters
        ----------
        step : int
            Counted from 0.

        Returns
        -------
        ndarray of shape (batch,), int
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._ordered != epoch:
            generator = np.random.default_rng([self._settings.seed, epoch, 0x6F7264])
            self._order, self._ordered = generator.permutation(self.images), epoch
        return self._order[place * self.batch : (place + 1) * self.batch]

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
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._scheduler.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._averaged.update_parameters(self._parts)
        return loss, right

    @torch.no_grad()
    def loss(self, rows: NDArray[np.intp], epoch: int, step: int) -> float:
        """The mean loss that `step` would start from; nothing is trained, and no statistics follow the batch.

        Parameters
        ----------
        rows, epoch, step
            As for `step`.
        """
        self.unfrozen.set_training(False)
        values, wanted, _, whole = self._batch(rows, epoch, step)
        total = 0.0
        for i in range(0, len(rows), self.part):
            with self._precision():
                logits = self.unfrozen(values[i : i + self.part])
            smoothing = self._settings.label_smoothing
            total += float(cross_entropy(logits, wanted[i : i + self.part], self._weights, smoothing) / whole)
        return total

    @torch.no_grad()
    def answers(self, y: NDArray[np.int64], *, average: bool = True) -> ValidationAnswers:
        """What the averaged weights, or those of the last step, answer to the validation part.

        Parameters
        ----------
        y : ndarray of shape (n,), int64
            Its classes.
        average : bool
        """
        self.unfrozen.eval()
        logits = []
        parts = self._averaged.module if average else self._parts
        top, head = (parts.get_submodule(name) for name in ("top", "head"))
        for i in range(0, len(y), self.batch):
            values = self._loader.validation(np.arange(i, min(i + self.batch, len(y))))
            logits.append(head(top(values)).float().cpu())
        return ValidationAnswers.of(torch.cat(logits), y, self._settings.label_smoothing)

    def judge(self, y: NDArray[np.int64]) -> tuple[NDArray[np.bool_], float]:
        """Put the averaged weights before the validation part.

        Returns
        -------
        right : ndarray of shape (n,), bool
        log_loss : float
        """
        found = self.answers(y)
        return found.right, found.log_loss

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        tensors = {f"now/{name}": tensor for name, tensor in self.live.items()}
        tensors |= {f"average/{name}": tensor for name, tensor in self.average.items()}
        for i, parameter in enumerate(self._parameters):
            for name, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{i}/{name}"] = value
        for name, number in self._scaler.state_dict().items():
            tensors[f"scaler/{name}"] = torch.tensor(number, dtype=torch.float64)
        return tensors

    def begin_again(self, start: Mapping[str, Tensor], rate_factor: float, *, rise: int | None = None) -> None:
        """Train anew, from some weights and with a share of all rates.

        Parameters
        ----------
        start : mapping of str to Tensor
            By the names of `live`.
        rate_factor : float
            Of the rates in the settings.
        rise : int, optional
            Steps over which the rates rise to their peak, to try them; default: the schedule of the whole training.
        """
        self._optimizer.zero_grad(set_to_none=True)
        put(self.live, start)
        put(self.average, start)
        self._averaged.n_averaged.fill_(1)
        self._set_rates(rate_factor, rise)

    @torch.no_grad()
    def losses(self, rows: NDArray[np.intp], epoch: int) -> NDArray[np.float64]:
        """Cross-entropy of each training row, as varied in an epoch, with the label smoothing of the training.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        self.unfrozen.eval()
        logits = []
        for i in range(0, len(rows), self.part):
            with self._precision():
                logits.append(self.unfrozen(self._loader.training(rows[i : i + self.part], epoch)).float().cpu())
        found = F.cross_entropy(
            torch.cat(logits).double(), self._y[torch.from_numpy(rows)],
            label_smoothing=self._settings.label_smoothing, reduction="none",
        )  # fmt: skip
        return found.numpy()

    @torch.no_grad()
    def features(self, rows: NDArray[np.intp], epoch: int) -> NDArray[np.float32]:
        """What the head gets for training rows, as varied in an epoch.

        Returns
        -------
        ndarray of shape (n, d), float32
        """
        self.unfrozen.eval()
        top = self._parts.get_submodule("top")
        pieces = [rows[i : i + self.part] for i in range(0, len(rows), self.part)]
        found = [top(self._loader.training(piece, epoch)).float().cpu().numpy() for piece in pieces]
        return np.concatenate(found)

    def weights(self) -> dict[str, Tensor]:
        """A copy of `live` as it is now."""
        return {name: tensor.detach().clone() for name, tensor in self.live.items()}

    def end(self, weights: Mapping[str, Tensor]) -> None:
        """Leave the network with some weights, in eval mode, as if it had counted no batches.

        Parameters
        ----------
        weights : mapping of str to Tensor
            By the names of `live`.
        """
        put(self.live, weights)
        for buffer, before in self._counters:
            buffer.copy_(before)
        self.unfrozen.eval()

    def restore(self, tensors: Mapping[str, Tensor], step: int, rate_factor: float = 1.0) -> None:
        """Go back to what `tensors` returned after so many steps with a share of the rates.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            They are of another network.
        """
        put(self.live, {name: tensors[f"now/{name}"] for name in self.live})
        put(self.average, {name: tensors[f"average/{name}"] for name in self.live})
        self._averaged.n_averaged.fill_(step + 1)
        self._set_rates(rate_factor)
        state = self._optimizer.state_dict()
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state["state"].setdefault(int(index), {})[key] = value
        self._optimizer.load_state_dict(state)
        self._scheduler = self._scheduler_at(step)
        scaler = {name: tensors[f"scaler/{name}"].item() for name in self._scaler.state_dict()}
        if scaler:
            self._scaler.load_state_dict({**scaler, "_growth_tracker": int(scaler["_growth_tracker"])})

    def _set_rates(self, rate_factor: float, rise: int | None = None) -> None:
        """An optimiser that has seen nothing, with its schedule, at a share of the rates in the settings."""
        settings = self._settings
        groups = parameter_groups(
            self._parts,
            self.unfrozen.blocks,
            learning_rate=rate_factor * settings.learning_rate,
            lowest=settings.lowest_rate,
            head_rate=rate_factor * settings.head_rate,
            weight_decay=settings.weight_decay,
        )
        self._parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._optimizer = torch.optim.AdamW(groups)
        self._scheduler = self._scheduler_at(0, rise)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=settings.precision == "fp16")

    def _scheduler_at(self, step: int, rise: int | None = None) -> LambdaLR:
        factor = self._schedule if rise is None else (lambda at: min(1.0, (at + 1) / rise))
        scheduler = LambdaLR(self._optimizer, factor, last_epoch=step - 1)  # its "epochs" are our steps
        # Without gradients this does nothing. It tells the scheduler that the optimiser comes first, or it would warn
        # where float16 overflows and the scaler leaves the first step out.
        self._optimizer.step()
        return scheduler

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
        self.unfrozen.set_training(self._settings.adapt_statistics)
        values, wanted, y, whole = self._batch(rows, epoch, step)
        total, right = 0.0, 0
        for i in range(0, len(rows), self.part):
            with self._precision():
                logits = self.unfrozen(values[i : i + self.part])
            part = wanted[i : i + self.part]
            loss = cross_entropy(logits, part, self._weights, self._settings.label_smoothing) / whole
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # of torch
            total += float(loss.detach())
            right += int((logits.detach().argmax(1) == y[i : i + self.part]).sum())
        return total, right

    def _batch(self, rows: NDArray[np.intp], epoch: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a step sees: values at the cut, wanted shares (b, k), classes (b,), and the weight of all of them."""
        settings = self._settings
        # Dropout draws from torch's generator; seeded by the step, a resumed run draws the same.
        torch.manual_seed((settings.seed * 1_000_003 + step) % (1 << 63))
        with self._precision():
            parts = range(0, len(rows), self.part)
            values = torch.cat([self._loader.training(rows[i : i + self.part], epoch) for i in parts]).float()
        y = self._y[torch.from_numpy(rows)].to(self._device)
        wanted = F.one_hot(y, self._classes).float()
        if settings.augmentation is not None:
            values, wanted = mix(values, wanted, settings.augmentation.mixup, settings.seed, step)
        return values, wanted, y, total_weight(wanted, self._weights, settings.label_smoothing)

    def _precision(self) -> torch.autocast:
        precision = self._settings.precision
        return torch.autocast(self._device.type, dtype=_PRECISIONS[precision], enabled=precision != "fp32")


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
