"""Numbers and names as people read them, the same in every rendering of a report.

As in coverage.py, 100 is written only for exactly 1 and 0 only for exactly 0: 0.9997 is 99.9, and 0.0003 is 0.1.
"""

from __future__ import annotations

import math
import unicodedata

NOTHING = "–"
"""What stands where a number is not known."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] in per cent, without the sign.

    Parameters
    ----------
    share : float or None
        In [0, 1]; None and NaN give an en dash.
    digits : int
        Decimals.

    Returns
    -------
    str
        `94.7`; `100.0` only for exactly 1, `0.0` only for exactly 0, and `<0.1` between 0 and what rounds to it.

    Examples
    --------
    >>> percent(0.947), percent(0.9997), percent(0.0003)
    ('94.7', '99.9', '<0.1')
    """
    if share is None or math.isnan(share):
        return NOTHING
    text = f"{100 * share:.{digits}f}"
    step = 10.0**-digits
    if share < 1 and float(text) >= 100:
        return f"{100 - step:.{digits}f}"
    if share > 0 and float(text) <= 0:
        return f"<{step:.{digits}f}"
    return text


def interval(bounds: tuple[float, float] | list[float] | None, digits: int = 1) -> str:
    """An interval of shares in per cent: `89.9 to 97.3`.

    Examples
    --------
    >>> interval((0.899, 0.973))
    '89.9 to 97.3'
    """
    if bounds is None:
        return NOTHING
    return f"{percent(bounds[0], digits)} to {percent(bounds[1], digits)}"


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, signed: `+2.3`; `0.0` only where there is none.

    Examples
    --------
    >>> points(0.023), points(-0.023), points(0)
    ('+2.3', '−2.3', '0.0')
    """
    size = percent(abs(difference), digits).removeprefix("<")
    return size if difference == 0 else f"{'+' if difference > 0 else '−'}{size}"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with a fixed count of decimals: log loss, calibration error.

    Examples
    --------
    >>> number(0.12345), number(None)
    ('0.123', '–')
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}"


def probability(p: float | None) -> str:
    """A p-value: three decimals, `<0.001` below that, `1` only for exactly 1 (but for rounding in float64).

    Examples
    --------
    >>> probability(0.0431), probability(1e-9), probability(1.0)
    ('0.043', '<0.001', '1')
    """
    if p is None or math.isnan(p):
        return NOTHING
    if p > 1 - 1e-12:
        return "1"
    return "<0.001" if p < 0.001 else f"{min(p, 0.999):.3f}"


def seconds(duration: float | None) -> str:
    """A duration: `12 ms`, `3.2 s`, `4 min 05 s`, `2 h 10 min`.

    Examples
    --------
    >>> seconds(0.012), seconds(245), seconds(7800)
    ('12 ms', '4 min 05 s', '2 h 10 min')
    """
    if duration is None or math.isnan(duration):
        return NOTHING
    if duration == 0:
        return "0 s"
    if duration < 0.9995:
        milliseconds = 1000 * duration
        return "<0.1 ms" if milliseconds < 0.05 else f"{milliseconds:.{0 if milliseconds >= 1.5 else 1}f} ms"
    if duration < 59.95:
        return f"{duration:.1f} s"
    if duration < 3599.5:
        return f"{round(duration) // 60} min {round(duration) % 60:02d} s"
    return f"{round(duration / 60) // 60} h {round(duration / 60) % 60:02d} min"


def size(count: float) -> str:
    """A count of bytes: `812 B`, `4.1 MB`.

    Examples
    --------
    >>> size(812), size(4_100_000)
    ('812 B', '4.1 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count(n: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 image`, `1,204 images`.

    Examples
    --------
    >>> count(1, 'image'), count(1204, 'class', 'classes')
    ('1 image', '1,204 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def capital(sentence: str) -> str:
    """The sentence with a capital first letter, but for one that begins with a command.

    Examples
    --------
    >>> capital('the best head'), capital('featstore info')
    ('The best head', 'featstore info')
    """
    return sentence if sentence.startswith("featstore") else sentence[:1].upper() + sentence[1:]


def listing(words: list[str], most: int = 4) -> str:
    """Words joined as in a sentence: `a, b and c`; the rest is counted: `a, b and 7 more`.

    Examples
    --------
    >>> listing(['a', 'b', 'c']), listing(list('abcdefg'), most=2)
    ('a, b and c', 'a, b and 5 more')
    """
    if len(words) > most + 1:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def printable(text: str) -> str:
    """A name that came from outside, safe to show: nothing in it can reorder, hide or break the text around it.

    Control characters, bidirectional overrides, line separators and undecodable bytes (lone surrogates) become visible
    escapes such as `\\u202e` and `\\xff`; everything else stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def quoted(text: str) -> str:
    """A text that came from outside between single quotes, as a shell takes it: no backslash is doubled.

    Examples
    --------
    >>> print(quoted("it's"), len(quoted("(\\\\d+)")))
    'it'"'"'s' 7
    """
    return "'" + printable(text).replace("'", "'\"'\"'") + "'"


def _visible(character: str) -> str:
    # Cf holds the bidi controls and zero-width marks, but joiners inside words (Persian, emoji) are legitimate.
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in "\u200c\u200d":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
