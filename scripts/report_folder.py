"""The folder of a report: refused before the work where another report lies there; and how a report is shown."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featstore_scripts import options

if TYPE_CHECKING:
    from classifiers.report.report import Report

FILES = ("report.html", "report.json", "report.md")

out = click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder for report.html, report.json and report.md; made if new.",
)


def refuse_existing(folder: Path, overwrite: bool, store: str | None = None) -> None:
    """Refuse a place that holds a report already, is a file or lies in the store, before anything is computed."""
    from featstore.errors import OutputExistsError

    if store is not None and Path(store).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise OutputExistsError(f"{folder} is inside the store; -o names a folder of its own for the report")
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; -o names the folder for the report")
    found = [name for name in FILES if (folder / name).exists()]
    if found and not overwrite:
        raise OutputExistsError(f"{folder} holds {found[0]} already; name another folder or add --overwrite")


def show(report: Report, folder: Path, as_json: bool) -> None:
    """Print a report that was written: its document, or its text and where its page is."""
    if as_json:
        options.emit(report.data)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
    click.echo(report.to_text(width))
    click.echo(f"Report: {(folder / FILES[0]).resolve()}")
