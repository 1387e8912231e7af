"""The page's templates and how texts are set in them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Environment


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The environment: everything is escaped, an unknown name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("classifiers.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    environment.filters["wbr"] = _breakable
    return environment


def _breakable(text: str) -> Markup:
    """A name that may be broken into lines where its parts end."""
    return Markup(re.sub(r"([_/\-])", r"\1<wbr>", str(escape(text))))


def _coded(text: str) -> Markup:
    """A sentence in which `commands` between backticks are set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else _unbroken(part) for i, part in enumerate(parts)
    )


def _unbroken(text: str) -> Markup:
    """A text in which no line ends between a number and its sign."""
    parts = re.split(r"(\d[\d.,]* %|\bp [=<] ?[\d.]+)", text)
    return Markup("").join(
        Markup('<span class="nb">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def asset(name: str) -> str:
    """The text of a file that stands beside the templates."""
    from importlib.resources import files

    return (files("classifiers.report") / "templates" / name).read_text(encoding="utf-8")
