"""`featstore activations`: feature maps and Grad-CAM of an image."""

from __future__ import annotations

from pathlib import Path

import click

from featstore_scripts import options


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...")
@click.option(
    "--out", "-o", required=True, type=click.Path(), metavar="DIR", help="Folder for the pictures; made if new."
)
@options.classifier
@click.option(
    "--node",
    "nodes",
    metavar="NODE",
    multiple=True,
    help="Where to look, one of `featstore nodes BACKBONE`; repeatable (default: a few from first to last).",
)
@click.option(
    "--class",
    "name",
    metavar="NAME",
    help="The class that Grad-CAM is for, by name or index (default: what the classifier says).",
)
@click.option("--cam-node", metavar="NODE", help="Where Grad-CAM looks (default: the last feature map).")
@click.option("--no-cam", is_flag=True, help="Feature maps only.")
@click.option("--maps", type=click.IntRange(1, 4096), default=63, show_default=True, help="Channels drawn a node.")
@click.option("--save-npz", is_flag=True, help="Also write the maps as arrays.")
@options.overwrite
@options.quiet
@options.json_option
def activations(
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    images: tuple[str, ...],
    out: str,
    bundle: str | None,
    backbone: str | None,
    weights: str | None,
    input_size: int | None,
    device: str,
    nodes: tuple[str, ...],
    name: str | None,
    cam_node: str | None,
    no_cam: bool,
    maps: int,
    save_npz: bool,
) -> None:
    """Draw what the layers of a network answer to IMAGES, files or folders of them, and where a class is seen.

    Writes a grid of feature maps for each node, the Grad-CAM of a class, and one HTML page with everything to DIR.
    """  # fmt: skip
    from classifiers.inspection.activation_report import draw_activations
    from classifiers.inspection.activations import usual_nodes
    from classifiers.models.class_names import find_class
    from classifiers.models.classifier_choice import open_for_inspection
    from classifiers.models.image_classifier import freeze_on
    from featstore.discovery.unlabelled import find_images
    from featstore.engines.devices import find_device

    options.one_classifier(bundle, backbone, input_size)
    if no_cam and (name is not None or cam_node is not None):
        raise click.UsageError("--no-cam goes without --class and --cam-node")
    there = find_device(device)
    network, classifier, note = open_for_inspection(
        bundle, backbone=backbone, weights=weights, input_size=input_size, must_classify=name is not None
    )
    freeze_on(network.network, there)
    if classifier is not None:
        freeze_on(classifier, there)
    target = None if name is None or classifier is None else find_class(classifier.classes, name)
    found = find_images(images, lists=False)
    with (
        options.told(lambda: f"cut short: what is done lies in {out}" if Path(out).exists() else "nothing was written"),
        options.reporter(quiet) as report,
    ):
        results, failed, page = draw_activations(
            network, None if no_cam else classifier, found.paths, nodes or usual_nodes(network.name), Path(out),
            target=target, cam_node=cam_node, maps=maps, save_npz=save_npz, overwrite=overwrite, device=there,
            progress=report,
        )  # fmt: skip
    failed += found.failed
    notes = [options.typed(note)] if note and not no_cam else []
    if as_json:
        options.emit({
            "format": 1,
            "backbone": network.name,
            "weights": network.weights.label,
            "classifier": None if classifier is None else classifier.provenance(),
            "results": [result.to_json() for result in results],
            "failed": [{"image": path, "reason": reason} for path, reason in failed],
            "notes": notes,
            "page": str(page),
        })  # fmt: skip
        return
    for result in results:
        if result.heat is not None:
            click.echo(f"{result.image}: Grad-CAM for {result.heat_class}, probability {result.heat.probability:.4f}")
        for activation in result.activations:
            shape = "x".join(map(str, activation.values.shape))
            click.echo(f"{result.image}: {activation.node} {shape}: {result.files[f'node {activation.node}']}")
    for path, reason in failed:
        options.say_failed(path, reason)
    for text in notes:
        click.echo(f"note: {text}")
    click.echo(f"Page: {page.resolve()}")


if __name__ == "__main__":
    options.run(activations)
