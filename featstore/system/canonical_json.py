"""JSON in one spelling only, so that equal documents have equal hashes."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(obj: Any) -> bytes:
    """Encode a document in the one way that hashes are taken over: sorted keys, no spaces, ASCII, no NaN.

    Parameters
    ----------
    obj : JSON-able object
        Tuples become lists.

    Raises
    ------
    ValueError
        For NaN or infinity.
    TypeError
        For what JSON cannot hold.

    Examples
    --------
    >>> canonical_json({"b": (1, 2), "a": None})
    b'{"a":null,"b":[1,2]}'
    """
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")
