"""`featstore verify`: check every byte of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featstore_scripts import options

if TYPE_CHECKING:
    from featstore.images.reading import Reading


@click.command()
@options.store
@click.option("--fast", is_flag=True, help="Of feature shards, check only that they are there with the right size.")
@click.option("--content", metavar="DATA", type=click.Path(), help="Also read every image in DATA again and compare.")
@options.dataset
@options.reading
@options.quiet
@options.json_option
def verify(
    store: str, fast: bool, content: str | None, dataset: str | None, reading: Reading, quiet: bool, as_json: bool
) -> None:
    """Check every byte of STORE, and with --content that the images are still the ones that were extracted.

    DATA is read as it was when it was extracted, unless options say how. Nothing is altered. Exit status 1 where
    something is damaged, or an image is gone or has changed.
    """
    from classifiers.formatting import count
    from featstore.errors import ImageSetError, StoreDamagedError
    from featstore.extract.content_check import check_content
    from featstore.store.feature_store import FeatureStore
    from featstore.store.maintenance.verification import verify as check

    with options.reporter(quiet) as report:
        found = check(Path(store), not fast, lambda done, total: report("check", done, total, ""))
        images = None
        if content is not None and found.ok:
            images = check_content(
                FeatureStore(store),
                content,
                dataset=dataset,
                reading=None if reading == type(reading)() else reading,
                progress=lambda done, total: report("read", done, total, ""),
            )
    document = {"format": 1, "ok": found.ok and (images is None or images.ok), "full": not fast, **vars(found)}
    document["problems"] = [vars(problem) for problem in found.problems]
    document["content"] = None if images is None else vars(images)
    options.emit(document) if as_json else _print(document)
    if not found.ok:
        by_hand = sum(not problem.mendable for problem in found.problems)
        remedy = f"run `featstore repair {store}`"
        if by_hand:
            after = "" if by_hand == len(found.problems) else f", and {remedy} after that"
            remedy = f"{by_hand} of them cannot be repaired: do what they say{after}"
        raise StoreDamagedError(f"{count(len(found.problems), 'problem')} in {store}, listed above; {remedy}")
    if images is not None and not images.ok:
        counts = ((images.changed, "changed"), (images.gone, "gone"), (images.unreadable, "not to be read"))
        what = ", ".join(f"{len(paths)} {word}" for paths, word in counts if paths)
        advice = f"run `featstore extract {content} --store {store} --content` to bring the store up to date"
        if images.unreadable:
            advice = "change the permissions and verify again before you extract"
        raise ImageSetError(f"of the images of {images.dataset!r}, listed above: {what}; {advice}")


def _print(document: dict[str, Any]) -> None:
    from rich.filesize import decimal

    from classifiers.formatting import count

    out = options.console()
    for problem in document["problems"]:
        out.print(f"damaged: {problem['path']}: {problem['what']}")
    how = "every byte" if document["full"] else "of feature shards only the sizes"
    nouns = (("datasets", "data set"), ("feature_sets", "feature set"), ("rows", "row"))
    counted = ", ".join(count(document[name], noun) for name, noun in nouns) + f", {document['failed']} failed"
    out.print(f"checked {count(document['files'], 'file')}, {decimal(document['bytes'])} ({how}): {counted}")
    out.print(count(len(document["problems"]), "problem") if document["problems"] else "no problems")
    if document["unnamed_rows"]:
        out.print(
            f"shards that no manifest names (of a killed run, or the manifest is lost) hold "
            f"{count(document['unnamed_rows'], 'row')} that nothing else holds; `featstore repair` brings them back"
        )
    elif document["unnamed"] or document["leftovers"]:
        out.print(
            f"{count(document['unnamed'], 'shard')} that no manifest names and "
            f"{count(document['leftovers'], 'temporary file')} are "
            f"harmless left-overs; `featstore gc` removes them once they are an hour old"
        )
    if document["content"] is not None:
        images = document["content"]
        for what in ("changed", "gone", "unreadable", "new"):
            for path in images[what]:
                hidden = " (size and time are as before)" if what == "changed" and path in images["silent"] else ""
                out.print(f"{what}: {path}{hidden}")
        out.print(
            f"read {images['images']} images of {images['dataset']}: {len(images['changed'])} changed, "
            f"{len(images['gone'])} gone, {len(images['unreadable'])} unreadable, {len(images['new'])} new"
        )


if __name__ == "__main__":
    options.run(verify)
