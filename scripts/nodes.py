"""`featstore nodes`: where a network can be cut."""

from __future__ import annotations

import click

from featstore_scripts import options


@click.command()
@click.argument("backbone")
@click.option("--input-size", type=click.IntRange(min=32), metavar="PIXELS", help="Side of the input (default: 224).")
@click.option("--all", "every", is_flag=True, help="Every module and operation, not only the outer two levels.")
@options.json_option
def nodes(as_json: bool, backbone: str, input_size: int | None, every: bool) -> None:
    """List the places where BACKBONE can be cut, those with names of their own first, then in the order of computing.

    Any of them can be given to --node of `featstore extract`. A spatial map becomes a vector by --pool: as wide as it
    has channels with avg, max and gem, and all of its numbers with flatten.
    """
    from featstore.backbone.nodes import node_table

    table = node_table(backbone, input_size=input_size, every=every)
    if as_json:
        options.emit(
            {
                "format": 1,
                "backbone": backbone,
                "nodes": [
                    {
                        "node": row.node,
                        "shape": list(row.shape),
                        "dim": row.pooled_width,
                        "dim_flatten": row.flat_width,
                        "note": row.note,
                    }
                    for row in table
                ],
            }
        )
        return
    wide = max(len(row.node) for row in table) + 2
    click.echo(f"{'node':<{wide}}{'shape':<16}{'pooled':>7}{'flatten':>9}  what")
    for row in table:
        shape = " x ".join(map(str, row.shape))
        click.echo(f"{row.node:<{wide}}{shape:<16}{row.pooled_width:>7}{row.flat_width:>9}  {row.note}")


if __name__ == "__main__":
    options.run(nodes)
