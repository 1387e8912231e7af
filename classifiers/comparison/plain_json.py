"""Plain JSON: results of NumPy as a document can hold them."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The same as JSON can hold it.

    Parameters
    ----------
    value : object
        Dicts, lists, tuples, arrays and numbers, nested as one likes.

    Returns
    -------
    object
        NumPy's numbers as Python's, arrays and tuples as lists, keys as text, what is not finite as None.

    Examples
    --------
    >>> plain({1: np.float32(0.5), "b": (np.arange(2), float("nan"))})
    {'1': 0.5, 'b': [[0, 1], None]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
