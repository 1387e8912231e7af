"""A report for the terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from classifiers.formatting import count, printable
from classifiers.report.data_reading import group_sentence, reading_sentence
from classifiers.report.leaderboard import Leaderboard, extent, pair_rows
from classifiers.report.report_data import filled
from classifiers.report.verdict import NEXT, verdict
from classifiers.report.verdict_panel import listed_warnings, shift_note


def text(data: Mapping[str, Any], width: int = 120) -> str:
    """The report as plain text.

    Parameters
    ----------
    data : mapping
        A report's data.
    width : int
        Columns to fill; a table that needs more is wider than that, for no figure is ever cut.

    Returns
    -------
    str
        Table, verdict, warnings, pairs, and last what to do next.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    full = filled(data)
    board = Leaderboard(full)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("head", no_wrap=True)
    for column in board.columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    for row in board.rows:
        name = f"* {row.name}" if row.best else f"  {row.name}{' (reference)' if row.reference else ''}"
        table.add_row(name, *(row.cells[column.key] for column in board.columns))
    buffer = io.StringIO()
    out = Console(file=buffer, width=width, markup=False, emoji=False, highlight=False, color_system=None)
    out.print(f"{printable(full['dataset']['name'])}: {extent(full)}; features: {', '.join(board.sets())}")
    if read := reading_sentence(full):
        out.print(read)
    if grouped := group_sentence(full):
        out.print(grouped)
    out.print()
    Console(file=buffer, width=max(width, 1000), markup=False, emoji=False, color_system=None).print(table)
    if board.order:
        out.print(board.order)
    out.print()
    if shift := shift_note(full):
        out.print(f"Warning (shift): {printable(shift)}")
    sentences = list(full["verdict"]) or verdict(full)
    for sentence in sentences:
        if not sentence.startswith(NEXT):
            out.print(sentence)
    for warning in listed_warnings(full):
        out.print(f"Warning ({warning['kind']}): {printable(warning['text'])}")
    for gone in full["omitted"]:
        out.print(f"Left out: {printable(gone['head'])}: {printable(gone['reason'])}")
    shown = [pair for pair in pair_rows(full) if pair.shown]
    if full["comparisons"]:
        out.print(f"\nPairs, exact McNemar with Holm's correction: {count(len(shown), 'difference')} shown "
                  f"in {count(len(full['comparisons']), 'pair')}.")  # fmt: skip
    mine = [pair for pair in shown if pair.a == printable(full["runs"][full["best_run"]]["name"])]
    for pair in mine:
        out.print(f"  {pair.a} / {pair.b}: {pair.finding}, p {pair.p_holm}")
    if len(shown) > len(mine):
        out.print(f"  {len(shown) - len(mine)} between others: in the report")
    if steps := [sentence for sentence in sentences if sentence.startswith(NEXT)]:
        out.print()
        for step in steps:
            out.print(step)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
