"""Regimes: the four cases of transfer learning, and the settings of a fine-tune that each of them suggests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from classifiers.training.augment import Augmentation
from classifiers.training.unfreezing import ALL, HEAD


@dataclass(frozen=True)
class Regime:
    """One of the four cases: small or large, similar to ImageNet or different.

    Attributes
    ----------
    number : {1, 2, 3, 4}
    title : str
    reopen : str
        What is trained: "head" or "all".
    earlier : bool
        The head stands on the earlier node that suits the data best, not on the last one.
    text : str
        What is cut, what is frozen, and where everything starts from.
    """

    number: int
    title: str
    reopen: str
    earlier: bool
    text: str


REGIMES = {
    1: Regime(1, "small and similar to ImageNet", HEAD, False,
              "the whole network stays frozen; the cached head is trained on"),
    2: Regime(2, "small and different from ImageNet", HEAD, True,
              "the network is cut at the cached node that suits the data best and stays frozen; a head on that node"),
    3: Regime(3, "large and similar to ImageNet", ALL, False,
              "from the pretrained weights and the cached head; the whole network is trained, with small steps and the "
              "smallest for its first layers"),
    4: Regime(4, "large and different from ImageNet", ALL, False,
              "from the pretrained weights and the cached head; the whole network is trained, with large steps"),
}  # fmt: skip


def reopening_regime(regime: int) -> int:
    """The regime that reopens the network in the same domain, 3 or 4; what the small ones reopen with is its rates.

    Examples
    --------
    >>> reopening_regime(2), reopening_regime(3)
    (4, 3)
    """
    return regime if regime > 2 else regime + 2


@dataclass(frozen=True)
class FineTuneSettings:
    """Everything that a fine-tune's result depends on, beside data and weights.

    Attributes
    ----------
    reopen : str
        "all", "head" or a node: it and everything behind it is trained.
    epochs : int
        Passes over the training images, at most.
    batch_size : int
        Images an optimiser step.
    learning_rate : float
        AdamW's, of the last block of the network, at its peak.
    lowest_rate : float
        Share of it for the first block, in (0, 1].
    head_rate : float
        Of the head.
    warmup : float or None
        Share of the steps over which the rates rise; None for `optim.unhurried_warmup`.
    weight_decay : float
    label_smoothing : float
        Share of each target that is spread over all classes, in [0, 1).
    clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the average of the weights; the average is what is judged and kept.
    patience : int
        Epochs without a better validation before it stops.
    adapt_statistics : bool
        Batch norm follows the data; otherwise its statistics stay frozen.
    class_weight : {"balanced", None}
    from_scratch : bool
        Random weights in the place of pretrained ones.
    keep_any : bool
        Keep the best epoch also where the validation part cannot tell it from the cached head; otherwise it has to get
        more images right than the cached head by more than two standard errors of the paired difference.
    views : int
        Where a part stays frozen: views of each image whose activations are cached, the first without augmentation;
        0 computes the frozen part anew in every epoch, with fresh augmentation.
    valid_fraction : float
        Share of the training part that is held out to choose the epoch.
    groups : str or None
        Regular expression; images for which it catches the same text stay together.
    precision : {"fp32", "bf16", "fp16"}
        Of the forward pass while training.
    augmentation : Augmentation or None
        None shows every image as it will be seen in use.
    seed : int

    Examples
    --------
    >>> settings = settings_for(REGIMES[3], images=5000, epochs=4)
    >>> settings.reopen, settings.epochs, settings.learning_rate
    ('all', 4, 0.0001)
    """

    reopen: str = ALL
    epochs: int = 24
    batch_size: int = 32
    learning_rate: float = 3e-4
    lowest_rate: float = 0.1
    head_rate: float = 3e-4
    warmup: float | None = None
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    clip: float = 1.0
    ema: float = 0.99
    patience: int = 10
    adapt_statistics: bool = False
    class_weight: str | None = None
    from_scratch: bool = False
    keep_any: bool = False
    views: int = 4
    valid_fraction: float = 0.15
    groups: str | None = None
    precision: str = "fp32"
    augmentation: Augmentation | None = dataclasses.field(default_factory=Augmentation)
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)


def settings_for(regime: Regime, images: int, **given: Any) -> FineTuneSettings:
    """What a regime suggests for so many training images, with what somebody asked for in its place.

    Parameters
    ----------
    given : FineTuneSettings' fields, and those of Augmentation
        None means: as the regime suggests. `augment=False` varies nothing.
    """
    chosen: dict[str, Any] = {"reopen": regime.reopen, **_RATES[regime.number]}
    # Far domains (microscopy, aerial views) mostly have no upside, and what tells their classes apart may be a small
    # thing anywhere in the picture, which a small crop would lose.
    far = regime.number in (2, 4)
    augmentation: dict[str, Any] = {"turn": far, "smallest": 0.75 if far else 0.4}
    wanted = {name: value for name, value in given.items() if value is not None}
    augment = wanted.pop("augment", True)
    if wanted.get("from_scratch"):
        chosen |= _SCRATCH
    own = {field.name for field in dataclasses.fields(Augmentation)}
    augmentation.update({name: value for name, value in wanted.items() if name in own})
    chosen.update({name: value for name, value in wanted.items() if name not in own})
    if "epochs" not in chosen:
        chosen["epochs"] = _epochs(images)
    chosen.setdefault("patience", max(8, chosen["epochs"] // 3))
    if not augment:
        chosen["views"] = min(1, chosen.get("views", 1))
    return FineTuneSettings(**chosen, augmentation=Augmentation(**augmentation) if augment else None)


_RATES: dict[int, dict[str, float]] = {
    1: {"learning_rate": 3e-4, "head_rate": 3e-4},
    2: {"learning_rate": 3e-4, "head_rate": 3e-4},
    3: {"learning_rate": 1e-4, "lowest_rate": 0.05, "head_rate": 1e-4},
    4: {"learning_rate": 1e-3, "lowest_rate": 0.1, "head_rate": 1e-3},
}


_SCRATCH = {"reopen": ALL, "learning_rate": 1e-3, "lowest_rate": 1.0, "head_rate": 1e-3, "adapt_statistics": True,
            "keep_any": True}  # fmt: skip
"""Random weights have nothing to be careful about, and no statistics to keep."""


def _epochs(images: int) -> int:
    """Enough steps for small sets, not too many hours for large ones."""
    return int(min(40, max(8, 30_000 // max(images, 1))))
