"""Class names as people type them: exact, in other capitals, or as an index."""

from __future__ import annotations

import re
from collections.abc import Sequence

from featstore.errors import UnknownNameError


def find_class(classes: Sequence[str], wanted: str) -> int:
    """Position of a class among a classifier's logits.

    Parameters
    ----------
    classes : sequence of str
        In the order of the logits.
    wanted : str
        A class name (capitals do not matter where that leaves one class), or an index, counted from 0. A class that is
        called `7` is found by its name, not as an index.

    Returns
    -------
    int

    Raises
    ------
    UnknownNameError
        With the close matches, among them the classes that contain the word.

    Examples
    --------
    >>> find_class(("Egyptian cat", "tabby"), "egyptian CAT"), find_class(("Egyptian cat", "tabby"), "1")
    (0, 1)
    """
    if wanted in classes:
        return list(classes).index(wanted)
    if re.fullmatch(r"\d+", wanted.strip()):
        if int(wanted) < len(classes):
            return int(wanted)
        raise UnknownNameError("class index", wanted, [f"0 to {len(classes) - 1}"])
    folded = [name.casefold() for name in classes]
    plain = wanted.strip().casefold()
    if folded.count(plain) == 1:
        return folded.index(plain)
    words = re.escape(plain)
    containing = [name for name in classes if re.search(rf"\b{words}\b", name.casefold())] if plain else []
    more = f", and {len(containing) - 6} more" if len(containing) > 6 else ""
    hint = f"classes with that word in their names: {', '.join(containing[:6])}{more}" if containing else ""
    raise UnknownNameError("class", wanted, classes, hint)
