"""Types and numbers that several rooms share."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
Fold = tuple[Index, Index]
FOLDS = 5
"""Folds of a cross-validation unless told otherwise."""
Budget = Literal["quick", "normal", "thorough"]
BUDGETS: tuple[Budget, ...] = ("quick", "normal", "thorough")
