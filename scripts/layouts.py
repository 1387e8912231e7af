"""`featstore layouts`: the ways of arranging images that are understood."""

from __future__ import annotations

import click

from featstore_scripts import options


@click.command()
@options.json_option
def layouts(as_json: bool) -> None:
    """List the layouts of image folders and archives that are understood.

    Known data sets are recognised as they come out of their archives, also inside of further folders; --layout NAME
    names one where more than one fits. Shows what each looks like and where classes and parts are taken from.
    --label-column takes one of the labels that are shown, the first by default.
    """
    from featstore.layouts.catalogue import LAYOUTS

    if as_json:
        options.emit(
            {
                "format": 1,
                "layouts": [
                    {
                        "name": layout.name,
                        "looks": layout.looks,
                        "labels": layout.labels,
                        "parts": layout.parts,
                        "label_columns": list(layout.columns),
                    }
                    for layout in LAYOUTS.values()
                ],
            }
        )
        return
    for layout in LAYOUTS.values():
        click.echo(f"{layout.name:<16}{layout.looks}")
        click.echo(f"{'':<16}classes: {options.typed(layout.labels)}")
        if layout.parts:
            click.echo(f"{'':<16}parts: {options.typed(layout.parts)}")
        if layout.columns:
            click.echo(f"{'':<16}labels to choose: {', '.join(layout.columns)}")


if __name__ == "__main__":
    options.run(layouts)
