"""The command `featstore`: one verb a file, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from featstore.system.processor_share import share_processor
from featstore_scripts import options

VERBS = {
    "demo": "The main job from nothing, offline.",
    "backbones": "The networks that can be used.",
    "nodes": "Where a network can be cut.",
    "layouts": "The arrangements of images that are understood.",
    "extract": "Build or complete the feature cache of images.",
    "info": "What a store holds.",
    "verify": "Check every byte of a store.",
    "repair": "Rebuild what is damaged from what is not.",
    "compact": "Merge small shards into large ones.",
    "gc": "Remove what no snapshot needs.",
    "compare": "Tune, fit and judge several heads on the same folds; write the report.",
    "train": "Tune and fit one head, save it as a bundle.",
    "predict": "Classify images in files, folders, lists or archives with a bundle.",
    "evaluate": "Judge a bundle on new labelled images; write the report.",
    "advise": "Is the cache enough? A verdict with its evidence.",
    "finetune": "Reopen the backbone.",
    "activations": "Feature maps and Grad-CAM of an image.",
    "ideal": "The image that a class would most like to see.",
    "attack": "Adversarial images.",
    "export": "Features or a bundle in other formats.",
}


class Verbs(click.Group):
    """A group that knows its verbs' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb's file."""
        if cmd_name not in VERBS:
            return None
        command = getattr(import_module(f"featstore_scripts.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Offer close matches for an unknown verb."""
        import difflib

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], VERBS, n=3, cutoff=0.5)
            offer = f"did you mean {' or '.join(close)}?" if close else "see featstore --help"
            ctx.fail(f"no such command {args[0]!r}; {offer}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="featstore", prog_name="featstore")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a failure's traceback (also after the verb).")
def group() -> None:
    """Run a frozen network once over your images; try classifiers on its cached features in seconds."""


def cli() -> None:
    """The console command's entry point."""
    share_processor()  # before any verb imports a numeric library
    options.run(group)


if __name__ == "__main__":
    cli()
