"""What is said about copies on both sides of a split: how many, where, and what to do."""

from __future__ import annotations

import numpy as np

from classifiers.formatting import capital, count, listing, percent, printable
from classifiers.leakage.crossing import Crossing
from classifiers.leakage.duplicate_groups import DuplicateGroups
from classifiers.leakage.filename_groups import FilenameGroups
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.significance import wilson
from featstore.features import FeatureSet

_USUAL = 0.9  # accuracy whose interval tells how many images could change what is concluded
_POINTS = 0.02  # accuracy that matters however many images judge
_WHERE = {"folder": "within a folder", "folders": "across folders", "classes": "across classes"}


def leak_texts(
    features: FeatureSet,
    protocol: EvaluationProtocol,
    duplicates: DuplicateGroups,
    judged: Crossing,
    folds: Crossing | None,
    *,
    grouped: bool = False,
) -> tuple[tuple[str, str], ...]:
    """The warnings about one protocol.

    Parameters
    ----------
    features : FeatureSet
    protocol : EvaluationProtocol
    duplicates : DuplicateGroups
        Of `features`.
    judged : Crossing
        Between images that train and images that judge.
    folds : Crossing or None
        Between the folds of the search within the training part, where these are others.
    grouped : bool
        Whether the user gave groups already: then nothing is suggested.

    Returns
    -------
    tuple of (kind, sentence)
        See `classifiers.leakage.leaks.Leaks.texts`.

    Examples
    --------
    >>> from classifiers.leakage.crossing import find_crossing
    >>> from classifiers.leakage.duplicate_groups import find_duplicate_groups
    >>> from classifiers.validation.protocol import make_protocol
    >>> from featstore.fingerprint import Fingerprint
    >>> made = Fingerprint("resnet50", "0" * 64, "avgpool", "none", {}, {}, "fp32", "IMAGENET1K_V2")
    >>> rng, names = np.random.default_rng(0), tuple(f"{i}.jpg" for i in range(40))
    >>> pets = FeatureSet(
    ...     X=rng.normal(size=(40, 8)).astype(np.float32), y=np.arange(40) // 20, ids=names, classes=("cat", "dog"),
    ...     splits=np.full(40, ""), digests=rng.integers(0, 256, (20, 32), np.uint8).repeat(2, axis=0),
    ...     fingerprint=made, dataset="pets", root=b"/pets", paths=tuple(map(str.encode, names)),
    ... )
    >>> protocol, found = make_protocol(pets), find_duplicate_groups(pets)
    >>> ((kind, text),) = leak_texts(pets, protocol, found, find_crossing(pets, found, list(protocol.outer)), None)
    >>> kind, text[:41]
    ('leak', 'Images of one source stand in different f')
    """
    texts, told = [], ""
    given = protocol.name == "given"
    if judged.any:
        told = _conflicts(features, duplicates, judged)
        remedy = _remedy(duplicates, given, grouped)
        texts.append(
            (_kind(judged, len(protocol.judged)), _one_source(duplicates, judged, _sides(protocol), told, remedy))
        )
    elif folds is not None and folds.any:
        told = _conflicts(features, duplicates, folds)
        remedy, sides = _remedy(duplicates, False, grouped), "different folds of the search"
        texts.append((_kind(folds, len(protocol.outer[0][0])), _one_source(duplicates, folds, sides, told, remedy)))
    texts += [("split", text) for text in _resembling(protocol, duplicates, judged)]
    if not told and len(duplicates.conflicts):
        texts.append(("data", _conflicts(features, duplicates)))
    return tuple(texts)


def how_found(duplicates: DuplicateGroups) -> str:
    """What was looked at, what was found, and what could not be told.

    Parameters
    ----------
    duplicates : DuplicateGroups
    """
    said, pixels = [], duplicates.pixels
    if pixels.compared:
        found = int(duplicates.confirmed.sum())
        said.append(
            f"The pixels of {count(pixels.compared, 'pair')} of images with similar features were compared: "
            f"{found:,} {'shows' if found == 1 else 'show'} one picture."
        )
    if pixels.blank:
        said.append(f"In {count(pixels.blank, 'pair')} of these too little is to be seen to tell.")
    if pixels.usual:
        said.append(
            f"{count(pixels.usual, 'pair')} of these {'agrees' if pixels.usual == 1 else 'agree'}, but no "
            "more than other pictures of the class do (one form, one camera, one material): not called copies."
        )
    if pixels.unread:
        reason, most = pixels.unread[0]
        total = sum(number for _, number in pixels.unread)
        said.append(
            f"{count(total, 'image')} could not be read ({most:,}: {printable(reason)}), so pixels could not be "
            "compared there: only images whose features are nearly equal are called copies."
        )
    if duplicates.by_filename is not None:
        said.append(_by_name(duplicates.by_filename))
    said += [_not_by_name(one) for one in duplicates.rejected]
    return " ".join(said)


def conflict_examples(features: FeatureSet, duplicates: DuplicateGroups) -> list[dict[str, str]]:
    """Pairs of one picture under two classes, as a report names them.

    Parameters
    ----------
    features : FeatureSet
    duplicates : DuplicateGroups
        Of `features`.

    Returns
    -------
    list of dict
        a, b (ids), a_class, b_class; three at most.
    """
    return [
        {"a": features.ids[a], "a_class": features.classes[features.y[a]], "b": features.ids[b],
         "b_class": features.classes[features.y[b]]}
        for a, b in duplicates.conflicts[:3].tolist()
    ]  # fmt: skip


def _by_name(found: FilenameGroups) -> str:
    """What tells the source in names, where it was shown to, and where not."""
    whose = ""
    if "classes" not in found.joined:
        whose = " of one folder" if found.joined == ("folder",) else " of one class"
    elif found.joined == ("classes",):
        whose = " of different classes"
    said = (
        f"Images{whose} that share {found.spoken} were more alike than others in {percent(found.evidence)} % of the "
        "comparisons (by chance: 50 %), so they count as one source."
    )
    if not found.apart:
        return said
    where = listing([_WHERE[scope] for scope in found.apart])
    return f"{said} {capital(where)} this was not seen, and there they do not."


def _not_by_name(found: FilenameGroups) -> str:
    """Why a part of the names was not taken for the source."""
    few = ", but this is seen in too few groups to tell" if found.telling else ""
    return (
        f"Many images share {found.spoken}. They were more alike than others in {percent(found.evidence)} % of the "
        f"comparisons (by chance: 50 %){few}: it is not taken for the source."
    )


def _kind(crossing: Crossing, judged: int) -> str:
    """A few doubles do not spoil a figure; they are mentioned all the same."""
    return "leak" if len(crossing.judged) > _harmless(judged) * judged else "split"


def _harmless(judged: int) -> float:
    """Share of judged images that may be known from training without changing what is concluded.

    So many move the accuracy by this share at most: less than its interval is wide to one side, or than two points.
    """
    low, high = wilson(_USUAL * judged, judged)
    return max((high - low) / 2, _POINTS)


def _sides(protocol: EvaluationProtocol) -> str:
    return {
        "given": "the training and the test part",
        "holdout": "the training and the held-out part",
        "cv": "different folds",
    }[protocol.name]


def _one_source(duplicates: DuplicateGroups, crossing: Crossing, sides: str, conflicts: str, remedy: str) -> str:
    """How many pairs of each kind stand on both sides, and what to do about it: one warning."""
    facts = []
    if crossing.identical:
        facts.append(f"{count(crossing.identical, 'pair')} of byte-identical files ({_pair(crossing, 'identical')})")
    if crossing.near:
        facts.append(
            f"{count(crossing.near, 'pair')} of images that show one picture{_shown_by(duplicates)} "
            f"({_pair(crossing, 'near')})"
        )
    if crossing.by_filename and duplicates.by_filename is not None:
        noun = "further pair" if facts else "pair"
        facts.append(
            f"{count(crossing.by_filename, noun)} of images that share {duplicates.by_filename.spoken} "
            f"({_pair(crossing, 'stem')})"
        )
    return " ".join(filter(None, [f"Images of one source stand in {sides}: {listing(facts)}.", conflicts, remedy]))


def _remedy(duplicates: DuplicateGroups, given: bool, grouped: bool) -> str:
    """What to do: which argument serves which parts. Groups that the user gave are not argued with."""
    drop = "To keep your test part, compare with `drop_leaks=True`: it leaves such images out of training."
    if grouped:
        return drop if given else ""
    found = duplicates.suggestion
    sources = count(len(np.unique(duplicates.groups)), "source")
    keep = '`groups="auto"`' if found == "auto" else f"`groups=r'{found}'`"
    said = f"{keep} keeps each of the {sources} together" + (" in the folds of the search." if given else ".")
    if found == "auto":
        said = (
            f"{said[:-1]}; where the paths name the source, your own expression is surer (`groups=r'patient(\\d+)'`)."
        )
    return f"{drop} {said}" if given else said


def _shown_by(duplicates: DuplicateGroups) -> str:
    """What shows that copies are copies."""
    if duplicates.confirmed.all():
        return ", as their pixels show"
    return ", as their pixels or, where these cannot be read, nearly equal features show"


def _resembling(protocol: EvaluationProtocol, duplicates: DuplicateGroups, judged: Crossing) -> list[str]:
    """A mild word about look-alikes, where they are many enough to matter."""
    if len(judged.resembling) <= _harmless(len(protocol.judged)) * len(protocol.judged):
        return []
    effect, trial = duplicates.effect, ""
    if effect is not None and effect.leaks:
        trial = (
            f"; a trial head is right on {percent(effect.parted)} % when such images are parted and on "
            f"{percent(effect.kept)} % when they are kept together"
        )
    return [
        f"{count(judged.look_alikes, 'pair')} of images look alike and stand in {_sides(protocol)} "
        f"({_pair(judged, 'look_alike')}). They are not known to be copies: they may show one scene, one object or one "
        f"material{trial}. Where such images come from one source, `groups` with an expression for the part of their "
        "paths that names it keeps them together."
    ]


def _conflicts(features: FeatureSet, duplicates: DuplicateGroups, crossing: Crossing | None = None) -> str:
    """One picture under two classes; of the pairs of a crossing: "" where these are not all that there are."""
    n = len(duplicates.conflicts)
    if not n or (crossing is not None and crossing.conflicts != n):
        return ""
    example = conflict_examples(features, duplicates)[0]
    shown = " and ".join(f"{printable(example[k])} as {printable(example[f'{k}_class'])}" for k in "ab")
    if crossing is not None:
        who = f"{n:,} of them {'stands' if n == 1 else 'stand'}"
    else:
        identical = set(map(tuple, duplicates.identical.tolist()))
        same = sum(tuple(pair) in identical for pair in duplicates.conflicts.tolist())
        has, shows = ("has", "shows") if n == 1 else ("have", "show")
        bytes_, picture = f"{has} the same bytes", f"{shows} one picture"
        who = (
            f"{count(n, 'pair')} of images {bytes_ if same == n else picture if not same else f'{bytes_} or {picture}'}"
        )
    return f"{who} under two classes (for instance {shown}): one of the two labels is wrong, or the picture shows both."


def _pair(crossing: Crossing, kind: str) -> str:
    example = next(e for e in crossing.examples if e["kind"] == kind)
    return f"for instance {printable(example['a'])} and {printable(example['b'])}"
