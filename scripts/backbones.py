"""`featstore backbones`: the networks that can be used."""

from __future__ import annotations

import click

from featstore_scripts import options


@click.command()
@options.json_option
def backbones(as_json: bool) -> None:
    """List the supported VGG, ResNet and MobileNet networks.

    Shows parameters, input size, the width of the default features (node avgpool), the pretrained weights that
    torchvision knows (the last is what --weights auto takes), and which of them are on this machine. --weights none,
    seeded random weights, works for all.
    """
    from featstore.backbone.catalogue import BACKBONES

    if as_json:
        options.emit(
            {
                "format": 1,
                "backbones": [
                    {
                        "name": info.name,
                        "family": info.family,
                        "parameters": info.parameters,
                        "input_size": info.input_size,
                        "dim": info.width,
                        "weights": list(info.weights),
                        "default_weights": info.default_weights,
                        "cached": list(info.cached()),
                    }
                    for info in BACKBONES.values()
                ],
            }
        )
        return
    click.echo(f"{'backbone':<18}{'parameters':>10}{'input':>7}{'features':>10}  weights (* = on this machine)")
    for info in BACKBONES.values():
        here = info.cached()
        known = ", ".join(f"{name}*" if name in here else name for name in info.weights)
        millions = f"{info.parameters / 1e6:.1f} M"
        click.echo(f"{info.name:<18}{millions:>10}{info.input_size:>7}{info.width:>10}  {known}")


if __name__ == "__main__":
    options.run(backbones)
