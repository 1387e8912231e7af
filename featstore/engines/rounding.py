"""Weights of few bits whose errors cancel.

Rounded to the nearest number of 8 bits, the weights of a filter are off by up to 0.4 % each, the same way at every
place of a picture, so that pooling does not average it out; a depthwise filter has but nine of them. Each weight may as
well be rounded to the other side. Which ones are decides how far a filter's output is off for the inputs that it
usually sees: a quadratic form, made smaller flip by flip (the idea of adaptive rounding: Nagel et al., "Up or Down?",
ICML 2020; here without training, from means and variances alone).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_INTEGERS = {torch.bfloat16: torch.int16, torch.float16: torch.int16}


def round_filters(weight: Tensor, dtype: torch.dtype, common: Sequence[Tensor], spread: Tensor) -> Tensor:
    """Round every filter so that its error on its usual input is small.

    The expected squared error of a filter whose weights are off by e is taken to be the sum over `common` of
    (c . e)^2, plus spread . e^2.

    Parameters
    ----------
    weight : Tensor of shape (filters, n), float32
    dtype : {torch.bfloat16, torch.float16}
    common : sequence of Tensor, each broadcastable to `weight`
        Directions in which a filter's inputs move together: their means, and what neighbours share.
    spread : Tensor, broadcastable to `weight`
        Variance of what each input does by itself.

    Returns
    -------
    Tensor of shape (filters, n), float32
        Every number is one of the two neighbours in `dtype`.
    """
    near = weight.to(dtype)
    # bits as integers count magnitudes: one more is the next number away from zero
    bits = near.view(_INTEGERS[dtype])
    step = torch.where(weight.abs() > near.float().abs(), 1, -1).to(bits.dtype)
    exact = (near.float() == weight) | (near == 0)
    other = torch.where(exact, bits, bits + step).view(dtype).float()
    rounded, error = near.float(), near.float() - weight
    change = other - rounded
    errors = [(error * direction).sum(dim=1, keepdim=True) for direction in common]
    gains = [(change * direction) for direction in common]
    own = ((error + change) ** 2 - error**2) * spread
    flipped = torch.zeros_like(weight, dtype=torch.bool)
    active = torch.arange(len(weight))
    for _ in range(weight.shape[1]):
        cost = own[active]
        for e, gain in zip(errors, gains, strict=True):
            cost = cost + (2 * e[active] + gain[active]) * gain[active]
        least, at = cost.min(dim=1)
        better = least < 0
        active, at = active[better], at[better]
        if not len(active):
            break
        for e, gain in zip(errors, gains, strict=True):
            e[active, 0] += gain[active, at]
            gain[active, at] *= -1
        own[active, at] *= -1
        flipped[active, at] ^= True
    return torch.where(flipped, other, rounded)
