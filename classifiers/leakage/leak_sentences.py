"""What is said about copies on both sides of a split: how many, where, and what to do."""

from __future__ import annotations

import numpy as np

from classifiers.formatting import count, percent, printable
from classifiers.leakage.crossing import Crossing
from classifiers.leakage.duplicate_groups import DuplicateGroups
from classifiers.validation.protocol import EvaluationProtocol
from classifiers.validation.significance import wilson
from featstore.features import FeatureSet

_USUAL = 0.9  # accuracy whose interval tells how many images could change what is concluded
_POINTS = 0.02  # accuracy that matters however many images judge


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
    >>> kind, text[-48:]
    ('leak', '; `groups="auto"` keeps the 20 sources together.')
    """
    kind = _kind(judged, len(protocol.judged))
    texts = [(kind, text) for text in _sentences(protocol, duplicates, judged, grouped, "judged")]
    if folds is not None and folds.any and not judged.any:
        kind = _kind(folds, len(protocol.outer[0][0]))
        texts += [(kind, text) for text in _sentences(protocol, duplicates, folds, grouped, "folds")]
    texts += [("split", text) for text in _resembling(protocol, duplicates, judged)]
    texts += [("data", text) for text in _conflicts(features, duplicates)]
    return tuple(texts)


def how_found(duplicates: DuplicateGroups) -> str:
    """What was looked at, what was found, and what could not be told.

    Parameters
    ----------
    duplicates : DuplicateGroups
    """
    said = []
    if duplicates.compared:
        found = int(duplicates.confirmed.sum())
        said.append(
            f"The pixels of {count(duplicates.compared, 'pair')} of images that are near in features were compared: "
            f"{found:,} {'shows' if found == 1 else 'show'} one picture."
        )
    if duplicates.blank:
        said.append(f"In {count(duplicates.blank, 'pair')} of these too little is to be seen to tell.")
    if duplicates.usual:
        said.append(
            f"{count(duplicates.usual, 'pair')} of these {'agrees' if duplicates.usual == 1 else 'agree'}, but no "
            "further than other pictures of the class do (one form, one camera, one material): not called copies."
        )
    if duplicates.unread:
        reason, most = duplicates.unread[0]
        total = sum(number for _, number in duplicates.unread)
        said.append(
            f"{count(total, 'image')} could not be read ({most:,}: {printable(reason)}), so pixels could not be "
            "compared there: only images whose features are nearly equal are called copies."
        )
    if duplicates.by_filename is not None:
        said.append(f"Images whose paths agree in {duplicates.by_filename.pattern!r} look alike.")
    for group in duplicates.rejected:
        said.append(
            f"Many paths agree in {group.pattern!r}, but such images look no more alike than others: that part of the "
            "name was not taken for the source."
        )
    return " ".join(said)


def _kind(crossing: Crossing, judged: int) -> str:
    """A few doubles do not spoil a figure; they are mentioned all the same."""
    return "leak" if len(crossing.judged) > _harmless(judged) * judged else "split"


def _harmless(judged: int) -> float:
    """Share of judged images that may be known from training without changing what is concluded.

    So many move the accuracy by this share at most: less than its interval is wide to one side, or than two points.
    """
    low, high = wilson(_USUAL * judged, judged)
    return max((high - low) / 2, _POINTS)


def _sides(protocol: EvaluationProtocol, where: str) -> str:
    if where != "judged":
        return "different folds of the search"
    return {
        "given": "the training and the test part",
        "holdout": "the training and the held-out part",
        "cv": "different folds",
    }[protocol.name]


def _sentences(
    protocol: EvaluationProtocol, duplicates: DuplicateGroups, crossing: Crossing, grouped: bool, where: str
) -> list[str]:
    if not crossing.any:
        return []
    given = protocol.name == "given" and where == "judged"
    sides = _sides(protocol, where)
    act = "`drop_leaks=True` leaves such images out of training" if given else _act(duplicates)
    act = "" if grouped and not given else f"; {act}"
    said = []
    if crossing.identical:
        said.append(f"{count(crossing.identical, 'pair')} of byte-identical images stand in {sides} "
                    f"({_pair(crossing, 'identical')}){act}.")  # fmt: skip
    if crossing.near:
        said.append(
            f"{count(crossing.near, 'pair')} of images show one picture{_shown_by(duplicates)} and stand in {sides} "
            f"({_pair(crossing, 'near')}){act}."
        )
    if crossing.by_filename and duplicates.by_filename is not None:
        said.append(
            f"{count(crossing.by_filename, 'pair')} of images share a stem of their names, look alike and stand in "
            f"{sides} ({_pair(crossing, 'stem')}){act}."
        )
    return said


def _shown_by(duplicates: DuplicateGroups) -> str:
    """What shows that copies are copies."""
    if duplicates.confirmed.all():
        return ", as their pixels show,"
    return ", as their pixels or, where these cannot be read, nearly equal features show,"


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
        f"{count(judged.look_alikes, 'pair')} of images look alike and stand in {_sides(protocol, 'judged')} "
        f"({_pair(judged, 'look_alike')}): one scene, one object, one material? They are not known to be "
        f"copies{trial}. If they come from one source, `groups` with an expression on their paths keeps them together."
    ]


def _conflicts(features: FeatureSet, duplicates: DuplicateGroups) -> list[str]:
    """One picture under two classes."""
    if not len(duplicates.conflicts):
        return []
    a, b = duplicates.conflicts[0].tolist()
    first, second = (
        f"{printable(features.ids[row])} as {printable(features.classes[features.y[row]])}" for row in (a, b)
    )
    n = len(duplicates.conflicts)
    identical = set(map(tuple, duplicates.identical.tolist()))
    same = sum(tuple(pair) in identical for pair in duplicates.conflicts.tolist())
    has, shows = ("has", "shows") if n == 1 else ("have", "show")
    bytes_, picture = f"{has} the same bytes", f"{shows} one picture"
    how = bytes_ if same == n else picture if not same else f"{bytes_} or {picture}"
    return [
        f"{count(n, 'pair')} of images {how} under two classes (for instance {first} and {second}): one of the two "
        "labels is wrong, or the picture shows both."
    ]


def _act(duplicates: DuplicateGroups) -> str:
    pattern = '"auto"' if duplicates.suggestion == "auto" else f"r'{duplicates.suggestion}'"
    return f"`groups={pattern}` keeps the {count(len(np.unique(duplicates.groups)), 'source')} together"


def _pair(crossing: Crossing, kind: str) -> str:
    example = next(e for e in crossing.examples if e["kind"] == kind)
    return f"for instance {printable(example['a'])} and {printable(example['b'])}"
