"""Advice on a real store: what is offered, extracted and tried; the verdicts themselves are test_decision's."""

import dataclasses
import json
import shlex

import pytest

from classifiers.advice.advisor import advise
from classifiers.advice.decision import VERDICTS
from featstore.store.feature_store import FeatureStore


def test_advice_offers_the_nodes_that_are_missing_and_then_caches_them(tones):
    store = FeatureStore(tones / "store")
    advice, notes = advise(store, device="cpu", workers=0)
    assert advice.verdict in VERDICTS and len(advice.evidence.nodes) == 1 and advice.evidence.train == 36
    (offer,) = [note for note in notes if "`data=" in note]
    assert "layer1, layer2, layer3" in offer and str(tones / "tones") in offer
    assert any("none that was trained" in note for note in notes)
    advice, notes = advise(store, data=tones / "tones", device="cpu", workers=0)
    assert [node.node for node in advice.evidence.nodes] == ["layer1", "layer2", "layer3", "avgpool"]
    assert not any("`data=" in note for note in notes)
    assert advice.next.startswith("featstore ") and advice.cost["reopening"]["seconds_per_epoch"] > 0
    json.dumps(advice.to_json(), allow_nan=False)


def test_a_pilot_is_judged_on_images_that_it_did_not_see_and_ends_in_time(tones):
    advice, _ = advise(FeatureStore(tones / "store"), pilot=0.03, device="cpu", workers=0, nodes=("avgpool",))
    pilot = advice.pilot
    assert pilot["trained"] + pilot["judged"] <= 36 and pilot["judged"] >= 6
    assert 0 < pilot["epochs"] <= pilot["planned_epochs"] and pilot["seconds"] < 60
    assert pilot["gain"] == pytest.approx(pilot["accuracy_tuned"] - pilot["accuracy_last"])
    assert pilot["gain_ci"][0] <= pilot["gain"] <= pilot["gain_ci"][1]
    assert advice.reasons[0].startswith("The pilot trained the whole network")


def test_the_data_are_named_as_they_were_for_extract():
    from classifiers.advice.advisor import _offer, _source
    from tests.support.store_inputs import images

    whole = images(["a", "b"])
    assert _source(whole) == "/" + whole.root.decode().lstrip("/")
    listed = whole.with_about(source="/d/all.csv")
    assert _source(listed) == "/d/all.csv" and '`data="/d/all.csv"`' in _offer(["layer1"], listed)


@pytest.fixture(scope="module")
def judged(tones):
    return advise(FeatureStore(tones / "store"), device="cpu", workers=0, nodes=("avgpool",))[0]


def following(tones, advice, given=None, **more):
    """The words of the next command, and what it makes of them."""
    from classifiers.advice.advisor import _next_command
    from featstore_scripts.main import group

    store = FeatureStore(tones / "store")
    options = {"nodes": (), "data": None, "device": "auto", "workers": None, "seed": 0} | more
    words = shlex.split(_next_command(store, advice, [store.read(node="avgpool")], given or {}, **options))
    assert words[0] == "featstore"
    command = group.get_command(None, words[1])
    return words, command.make_context(words[1], words[2:]).params


@pytest.mark.parametrize("verdict", ["reopen-all", "reopen-top"])
def test_what_was_given_is_kept_in_the_command_that_reopens(tones, judged, verdict):
    advice = dataclasses.replace(judged, verdict=verdict)
    words, _ = following(tones, advice)
    assert words[1] == "finetune" and words[3] == str(tones / "tones")
    assert not {"--device", "--workers", "--node", "--seed", "--groups"} & set(words)
    given = {"groups": r"(\w+) \d", "pool": "avg", "precision": "fp32", "weights": "my weights.pth", "key": None}
    _, taken = following(
        tones, advice, given, data="my photos.zip", device="cpu", workers=0, seed=4, nodes=("layer1", "avgpool")
    )
    expected = {"data": "my photos.zip", "device": "cpu", "workers": 0, "seed": 4, "nodes": ("avgpool",)}
    assert {name: taken[name] for name in (*expected, *given)} == expected | given
    assert taken["reopen"] == ("layer4" if verdict == "reopen-top" else None)


def test_what_was_given_is_kept_in_the_command_that_compares(tones, judged):
    advice = dataclasses.replace(judged, verdict="cache-is-enough")
    words, _ = following(tones, advice)
    assert words[1:] == ["compare", str(tones / "store"), "-o", "report", "--dataset", "tones"]
    given = {"groups": "auto", "pool": "avg", "precision": "fp32", "weights": "none", "key": "abcd"}
    _, taken = following(tones, advice, given, device="cpu", workers=0, seed=4, nodes=("layer1", "avgpool"))
    assert {name: taken[name] for name in given} == given
    assert taken["nodes"] == ("layer1", "avgpool") and taken["seed"] == 4
    earlier = dataclasses.replace(judged, verdict="earlier-node")
    assert following(tones, earlier, {"groups": "none"}, nodes=("layer1", "avgpool"))[1]["nodes"] == ("avgpool",)
    assert "--groups" not in following(tones, earlier, {"groups": "none"})[0]
