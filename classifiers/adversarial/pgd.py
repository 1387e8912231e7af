"""Attacked images: the search for pictures that fool a network.

The network is only ever shown whole grey levels, so that what it believes during the attack is what it believes of the
saved file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.adversarial.attack import LEVELS, Attack
from featstore.errors import AttackError
from featstore.system.reporting import Progress


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What became of the images of one call.

    Attributes
    ----------
    pictures : ndarray of shape (b, s, s, 3), uint8
        The best result of each.
    fooled : ndarray of shape (b,), bool
        The network says the target (or, untargeted, anything but the true class).
    logits : ndarray of shape (b, k), float32
        Of the results.
    flat : ndarray of shape (b,), bool
        The gradient at the original was exactly zero everywhere.
    broken : ndarray of shape (b,), bool
        A gradient was not finite; that image was left as it was by then.
    steps : ndarray of shape (b,), int64
        Gradient steps that were taken, all restarts together.
    """

    pictures: NDArray[np.uint8]
    fooled: NDArray[np.bool_]
    logits: NDArray[np.float32]
    flat: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    steps: NDArray[np.int64]


def run_attack(
    classifier: nn.Module,
    pictures: NDArray[np.uint8],
    labels: Sequence[int],
    attack: Attack,
    *,
    targets: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    numbers: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> AttackResult:
    """Attack a batch of images.

    Parameters
    ----------
    classifier : nn.Module
        (b, 3, s, s) float32 in [0, 1] -> (b, k) logits, in eval mode, on `device`.
    pictures : ndarray of shape (b, s, s, 3), uint8
    labels : sequence of b int
        The class that each image is to be taken away from.
    attack : Attack
    targets : sequence of b int, optional
        The class that each is to be taken for; None: any other.
    numbers : sequence of b int, optional
        By which the images' random starts are drawn, so that they do not depend on the batch; default: 0, 1, 2, ...
    progress : callable, optional
        Told of every step.

    Raises
    ------
    AttackError
        A target that is the image's own class.
    """
    if targets is not None and any(t == y for t, y in zip(targets, labels, strict=True)):
        raise AttackError("the target is the image's own class; name another one, or none for an untargeted attack")
    original = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().to(device)
    classes = torch.tensor(list(labels if targets is None else targets)).to(device)
    search = _Search(classifier, original, classes, attack, sign=-1.0 if targets is None else 1.0)
    total = attack.restarts * attack.rounds
    for restart in range(attack.restarts if attack.method == "pgd" else 1):
        change = torch.zeros_like(original)
        if attack.method == "pgd":
            for row, number in enumerate(range(len(original)) if numbers is None else numbers):
                seed = np.random.SeedSequence([attack.seed, restart, number]).generate_state(1, np.uint64)
                generator = torch.Generator().manual_seed(int(seed[0] >> 1))
                change[row] = attack.allowed.sample(tuple(original.shape[1:]), generator).to(device)
        for step in range(attack.rounds):
            if not search.step(change):
                break
            if progress is not None:
                progress("attack", restart * attack.rounds + step + 1, total, f"{int(search.fooled.sum())} fooled")
        search.look(change)
    best = (original + search.best).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return AttackResult(
        np.ascontiguousarray(best),
        search.fooled.cpu().numpy(),
        search.logits.cpu().numpy(),
        search.flat.cpu().numpy(),
        search.broken.cpu().numpy(),
        search.steps.cpu().numpy(),
    )


class _Search:
    """The best result so far of each image, and the step that looks for a better one."""

    def __init__(self, classifier: nn.Module, original: Tensor, classes: Tensor, attack: Attack, sign: float) -> None:
        count, device = len(original), original.device
        self.classifier, self.original, self.classes, self.attack = classifier, original, classes, attack
        self.sign = sign  # 1: towards `classes`; -1: away from them
        self.best = torch.zeros_like(original)
        self.lead = torch.full((count,), -torch.inf, device=device)
        self.done = torch.zeros(count, dtype=torch.bool, device=device)
        self.broken = torch.zeros(count, dtype=torch.bool, device=device)
        self.steps = torch.zeros(count, dtype=torch.long, device=device)
        self.logits = torch.empty(0)
        self.flat = torch.zeros(count, dtype=torch.bool, device=device)
        if attack.rounds:
            gradient = self._gradient(torch.arange(count, device=device), torch.zeros_like(original))
            self.flat = gradient.flatten(1).eq(0).all(1)

    @property
    def fooled(self) -> Tensor:
        """(b,) bool."""
        return self.lead > 0

    def step(self, change: Tensor) -> bool:
        """Look at each unfinished image with its change, and move the change on; False when all are finished."""
        rows = (~(self.done | self.broken)).nonzero().flatten()
        if not len(rows):
            return False
        gradient = self._gradient(rows, change[rows])
        sound = gradient.isfinite().flatten(1).all(1)
        self.broken[rows[~sound]] = True
        going = sound & ~self.done[rows]
        rows, gradient = rows[going], gradient[going]
        if not len(rows):
            return False
        allowed = self.attack.allowed
        moved = change[rows] - self.attack.stride * allowed.direction(gradient)
        original = self.original[rows]
        moved = allowed.project(moved)
        change[rows] = (original + moved).clamp(0, LEVELS) - original
        self.steps[rows] += 1
        return True

    def look(self, change: Tensor) -> None:
        """Judge the last change of each unfinished image."""
        rows = (~(self.done | self.broken)).nonzero().flatten()
        if len(rows):
            whole = self.attack.allowed.quantise(self.original[rows], change[rows])
            with torch.no_grad():
                self._judge(rows, whole, self.classifier((self.original[rows] + whole) / LEVELS))

    def _gradient(self, rows: Tensor, change: Tensor) -> Tensor:
        """Of the goal with respect to the pixels, at the nearest whole grey levels; these are judged on the way."""
        whole = self.attack.allowed.quantise(self.original[rows], change)
        pixels = ((self.original[rows] + whole) / LEVELS).requires_grad_(True)
        with torch.enable_grad():
            logits = self.classifier(pixels)
            (gradient,) = torch.autograd.grad(self._goal(logits, self.classes[rows]).sum(), pixels)
        self._judge(rows, whole, logits.detach())
        return gradient

    def _goal(self, logits: Tensor, classes: Tensor) -> Tensor:
        if self.attack.goal == "margin":
            return -self.sign * _margin(logits, classes)
        return self.sign * F.cross_entropy(logits, classes, reduction="none")

    def _judge(self, rows: Tensor, whole: Tensor, logits: Tensor) -> None:
        """Keep what is better than the best so far."""
        if not len(self.logits):
            self.logits = logits.clone()
        lead = self.sign * _margin(logits, self.classes[rows])
        better = lead > self.lead[rows]
        kept = rows[better]
        self.lead[kept], self.best[kept], self.logits[kept] = lead[better], whole[better], logits[better]
        if self.attack.patience is not None:
            sure = self.logits[rows].softmax(1).amax(1) >= self.attack.patience
            self.done[rows] |= sure & (self.lead[rows] > 0)


def _margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Each class's logit less the best other one, (b,)."""
    own = logits.gather(1, classes[:, None])
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)
