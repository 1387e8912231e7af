"""The verdict of a comparison in plain words: which head, how sure, is the difference shown, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifiers.formatting import count, interval, listing, percent, printable, probability
from classifiers.report.next_steps import FEWEST, WIDE, next_steps
from classifiers.report.report_data import (
    filled,
    judged_by_copies,
    of_bundle,
    only_class,
    shifted,
    shown_better,
    split_by_folds,
)
from classifiers.validation.significance import SIGNIFICANT

LONGEST_LABEL = 40  # characters of a file name or label of weights
NEXT = "Next: "
"""How the sentences begin that say what to do."""


def verdict(data: Mapping[str, Any]) -> list[str]:
    """The verdict as sentences, the first one the headline.

    Parameters
    ----------
    data : mapping
        The data of a report (docs/design.md), complete but for `verdict` itself.

    Returns
    -------
    list of str
        Headline; how sure; how it was chosen; whether the difference to the others is shown; what the weights are
        worth; what stands against trusting it; and what to do next (sentences that begin with `NEXT`).
    """
    full = filled(data)
    best = full["runs"][full["best_run"]]
    chosen = _trained_before(full) if of_bundle(full) else _chosen(full, best)
    sentences = [_headline(full, best), _sure(full, best), chosen]
    if only_class(best) is None:  # else the head that gives this class most often would be called the best
        sentences += [*_differences(full), *_references(full)]
    sentences.append(random_weights_note(full) or "")
    return [sentence for sentence in sentences if sentence] + [NEXT + step for step in next_steps(full, best)]


def random_weights_note(data: Mapping[str, Any]) -> str | None:
    """What has to be said loudly about the weights: the sentence, or None where all are pretrained."""
    features = filled(data)["features"]
    labels = {feature["weights"] for feature in features if feature["weights"].startswith("random")}
    if not labels:
        return None
    which = (
        "These features come" if len({f["weights"] for f in features}) == len(labels) else "Some of these features come"
    )
    return (
        f"{which} from a network with seeded random weights ({listing(sorted(labels))}), not from a trained one: "
        "take the figures as a floor, not as what transfer learning can do."
    )


def set_names(features: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short name for each feature set: backbone, node, and what else tells them apart.

    Parameters
    ----------
    features : sequence of mapping
        `features` of the report's data.

    Returns
    -------
    list of str
        `mobilenet_v2 avgpool`; with pool, weights, precision, input or key where these two leave sets alike, and always
        with random weights.
    """
    names = [f"{f['backbone']} {f['node']}" for f in features]
    for key in ("pool", "weights", "precision", "input", "feature_key"):
        alike = {name for name in names if names.count(name) > 1}
        names = [
            f"{n} {_shortened(str(f[key]))}" if n in alike and f.get(key) else n
            for n, f in zip(names, features, strict=True)
        ]
    loud = [f["weights"] if f["weights"].startswith("random") else "" for f in features]
    return [
        printable(name if not label or label in name else f"{name} {label}")
        for name, label in zip(names, loud, strict=True)
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _headline(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    where = f" on {set_names(full['features'])[best['feature']]}" if len(full["features"]) > 1 else ""
    head = f"{printable(best['head'])}{where}"
    right = f"right on {percent(best['accuracy'])} % of {_judged(full, best)}"
    if best["n_test"] < FEWEST:
        return _untold(best, f"the bundle's head, {head}," if of_bundle(full) else head)
    if (alone := only_class(best)) is not None:
        return (
            f"All judged images are of one class, {printable(alone)}: {head} is {right}, which says how often it knows "
            "this class, not how well it tells classes apart."
        )
    if best["beats_majority"] is False and of_bundle(full):
        return (
            f"The bundle is not shown to know these images: its head, {head}, is {right}, and always giving their most "
            "frequent class may be as good."
        )
    kind = "of another kind than the images it was trained on"
    if best["beats_majority"] is False:
        also = f", which are {kind}" if shifted(full) else ""
        return _no_better(full, head, right + also)
    if of_bundle(full):
        return f"The bundle's head, {head}, is {right}."
    if judged_by_copies(full):
        also = f" The test images are also {kind}." if shifted(full) else ""
        return f"Not to be trusted yet: {head} is {right}, but some images are judged by their own copies.{also}"
    if shifted(full):
        return f"Use {head}: it is {right}, which are {kind}."
    return f"Use {head}: it is {right}."


def _no_better(full: Mapping[str, Any], head: str, right: str) -> str:
    """The headline where the chosen head is not shown to be better than a constant answer."""
    share = next((f" ({percent(_of_one_class(run))} %)" for run in full["runs"] if run["head"] == "majority"), "")
    than = f"better than always giving the most frequent class{share}"
    others = [printable(run["name"]) for run in full["runs"] if run["beats_majority"]]
    if others:
        return f"The chosen head, {head}, is not shown to be {than}: it is {right}. Of {listing(others)} it is shown."
    return f"No head is shown to be {than}: the chosen one, {head}, is {right}."


def _of_one_class(run: Mapping[str, Any]) -> float:
    """The accuracy of the majority, or of always giving the class that most judged images have where that is more.

    With groups, the majority of the images that train may be rare among those that judge.
    """
    judged = [row["support"] for row in run["per_class"]]
    return max([float(run["accuracy"]), *(float(support / sum(judged)) for support in judged if support)])


def _untold(best: Mapping[str, Any], head: str) -> str:
    n, (low, high) = best["n_test"], (percent(bound) for bound in best["accuracy_ci"])
    right = round(best["accuracy"] * n)
    return (
        f"Nothing can be told from {count(n, 'judged image')}: {head} is right on {right} of them, so its true "
        f"accuracy may be anything between {low} and {high} %."
    )


def _trained_before(full: Mapping[str, Any]) -> str:
    """What a saved classifier was trained on, and how good it was there, as far as it says so."""
    about = full.get("bundle") or {}
    accuracy, test, train = (about.get(key) for key in ("accuracy", "test", "train"))
    said = "It was trained before and judged as it is; nothing was fitted to these images."
    if not isinstance(about.get("dataset"), str) or type(train) is not int:
        return said
    known = f" Its own record names {count(train, 'training image')} of {printable(about['dataset'])}"
    if isinstance(accuracy, float) and type(test) is int and 0 <= accuracy <= 1:
        known += f", and {percent(accuracy)} % of {count(test, 'test image')} there"
    return f"{said}{known}."


def _judged(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    if full["protocol"].get("name") == "cv":
        return f"{count(best['n_test'], 'image')}, each judged by a classifier that had not seen it"
    return count(best["n_test"], "image" if of_bundle(full) else "test image")


def _sure(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    low, high = best["accuracy_ci"]
    if best["n_test"] < FEWEST:
        return ""  # the headline is about nothing else
    if judged_by_copies(full):
        return f"Its interval, {interval((low, high))} %, counts copies of training images as if they were new ones."
    where = " on images like the test images" if shifted(full) else ""
    where = where if only_class(best) is None else " on this class"
    bounds = interval((low, high)).replace(" to ", " and ")
    sentence = f"With 95 % confidence its true accuracy{where} lies between {bounds} %"
    return sentence + (", a wide interval: few images were judged." if high - low > WIDE else ".")


def _chosen(full: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    kept = "the images that judge it" if full["protocol"].get("name") == "cv" else "the test part"
    if full["duel"] is not None:
        return _decided(full, full["duel"])
    if best["cv_accuracy"] is None:
        return f"It was chosen by {best['selected_on']}, not by looking at {kept}."
    where = f"It was chosen by {best['selected_on']}, where it is right on {percent(best['cv_accuracy'])} %"
    if shifted(full):
        return (
            f"{where}, not by looking at {kept}. That figure holds for images like the training images; it does not "
            "say how good a head is on images like the test images, nor which one is best there."
        )
    flattered = split_by_folds(full) and not judged_by_copies(full)
    return (
        where
        + (" (flattered: copies of one picture lie in different folds)" if flattered else "")
        + f", not by looking at {kept}."
    )


def _decided(full: Mapping[str, Any], duel: Mapping[str, Any]) -> str:
    """How the choice fell between a frozen and a fine-tuned network."""
    frozen, tuned = (full["runs"][duel[f"{side}_run"]] for side in ("frozen", "tuned"))
    if duel["p"] is None:
        return (
            "The best head on frozen features was chosen: a fine-tuned network may have learnt from the images that "
            "judge it here. Only a data set with a test part of its own can show what the fine-tuning brought."
        )
    found = "no gain is shown, which does not rule one out; the frozen features stay."
    if full["best_run"] == duel["tuned_run"]:
        found = "the fine-tuning is shown to pay."
    elif duel["p"] < SIGNIFICANT:
        found = "the fine-tuned network is shown to be worse, so the frozen features stay."
    figures = f"{percent(frozen['accuracy'])} against {percent(tuned['accuracy'])} %, p {_equals(duel['p'])}"
    return (
        f"Frozen or fine-tuned was decided by the paired test on the test images ({figures}), for cross-validation "
        "flatters the fine-tuned network: " + found
    )


def _differences(full: Mapping[str, Any]) -> list[str]:
    """What the paired tests say about the best head and each other one."""
    worse: list[str] = []
    better: list[str] = []
    same: list[str] = []
    runs = full["runs"]
    for other, pair in _opponents(full).items():
        if runs[other]["reference"] or pair.get("family") == "duel":  # that one is told where the choice is
            continue
        name, winner = printable(runs[other]["name"]), shown_better(pair, runs)
        if winner is None:
            same.append(name)
        else:
            (better if winner == other else worse).append(f"{name} (p {_equals(pair['p_holm'])})")
    sentences = []
    if worse:
        sentences.append(f"It is shown to be better than {listing(worse)}.")
    if same:
        sentences.append(
            f"No difference shown between it and {listing(same)} on these images: any of them may be as good."
        )
    if better:
        foreseen = "cross-validation on images of another kind" if shifted(full) else "cross-validation"
        where = "the images that judge it" if full["protocol"].get("name") == "cv" else "the test part"
        sentences.append(f"On {where} {listing(better)} did better, which {foreseen} did not foresee.")
    return sentences


def _opponents(full: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The paired test of the best run and each other one, by the other's index."""
    mine, found = full["best_run"], {}
    for pair in full["comparisons"]:
        sides = [pair["a_run"], pair["b_run"]]
        if mine in sides and None not in sides:
            found[sides[1] if sides[0] == mine else sides[0]] = pair
    return found


def _references(full: Mapping[str, Any]) -> list[str]:
    """Whether the best head beats what stands in every report to be beaten, by the corrected p-values."""
    runs = full["runs"]
    beaten: list[str] = []
    unbeaten: list[str] = []
    ahead: list[str] = []
    for other, pair in _opponents(full).items():
        if runs[other]["reference"]:
            winner = shown_better(pair, runs)
            found = unbeaten if winner is None else ahead if winner == other else beaten
            if (
                runs[other]["head"] == "majority"
                and found is beaten
                and runs[full["best_run"]]["beats_majority"] is False
            ):
                unbeaten.append(
                    f"the answer that is always the largest class ({percent(_of_one_class(runs[other]))} %)"
                )
            else:
                found.append(f"{printable(runs[other]['head'])} ({percent(runs[other]['accuracy'])} %)")
    sentences = []
    if ahead:
        sentences.append(f"It is shown to be worse than {listing(ahead)}.")
    if unbeaten:
        sentences.append(f"It is not shown to beat {listing(unbeaten)}, which a useful head must.")
    if beaten:
        sentences.append(f"It beats the reference{'s' if len(beaten) > 1 else ''} {listing(beaten)}.")
    return sentences


def _equals(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
