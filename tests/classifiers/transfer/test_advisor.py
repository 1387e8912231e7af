"""Advice on a real store: what is read, offered, extracted and tried; the verdicts themselves are test_advise's."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from classifiers.report.report import Report
from classifiers.transfer.advice_report import add_to_report
from classifiers.transfer.advisor import advise
from classifiers.transfer.decision import VERDICTS
from featstore.errors import FeaturesError, ReportNotFoundError, StoreNotFoundError
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from featstore.system import machine
from tests.support.report_example import planted


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("advise")
    rng = np.random.default_rng(0)
    for split, each in (("train", 12), ("test", 4)):
        for k, name in enumerate(("dark", "light", "red")):
            (root / "tones" / split / name).mkdir(parents=True)
            for i in range(each):
                picture = rng.normal((60, 130, 90)[k], 40, (40, 40, 3))
                picture[..., 0] += 40 * (k == 2)
                image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
                image.save(root / "tones" / split / name / f"{name}{split}{i}.png")
    extract(
        root / "tones", root / "store", backbone="resnet18", weights="none", input_size=32, engine="eager", workers=0
    )
    yield root
    torch.set_num_threads(threads)


def test_advice_offers_the_nodes_that_are_missing_and_then_caches_them(place):
    store = FeatureStore(place / "store")
    advice, notes = advise(store, device="cpu", workers=0)
    assert advice.verdict in VERDICTS and len(advice.evidence.nodes) == 1 and advice.evidence.train == 36
    (offer,) = [note for note in notes if "`data=" in note]
    assert "layer1, layer2, layer3" in offer and str(place / "tones") in offer
    assert any("none that was trained" in note for note in notes)
    advice, notes = advise(store, data=place / "tones", device="cpu", workers=0)
    assert [node.node for node in advice.evidence.nodes] == ["layer1", "layer2", "layer3", "avgpool"]
    assert not any("`data=" in note for note in notes)
    assert advice.next.startswith("featstore ") and advice.cost["reopening"]["seconds_per_epoch"] > 0
    json.dumps(advice.to_json(), allow_nan=False)


def test_a_pilot_is_judged_on_images_that_it_did_not_see_and_ends_in_time(place):
    advice, _ = advise(FeatureStore(place / "store"), pilot=0.03, device="cpu", workers=0, nodes=("avgpool",))
    pilot = advice.pilot
    assert pilot["trained"] + pilot["judged"] <= 36 and pilot["judged"] >= 6
    assert 0 < pilot["epochs"] <= pilot["planned_epochs"] and pilot["seconds"] < 60
    assert pilot["gain"] == pytest.approx(pilot["accuracy_tuned"] - pilot["accuracy_last"])
    assert pilot["gain_ci"][0] <= pilot["gain"] <= pilot["gain_ci"][1]
    assert advice.reasons[0].startswith("The pilot trained the whole network")


def test_advice_becomes_a_section_of_a_report(place, tmp_path):
    advice, _ = advise(FeatureStore(place / "store"), device="cpu", workers=0)
    with pytest.raises(ReportNotFoundError, match="compare"):
        add_to_report(tmp_path / "none", advice, "s")
    data = planted()
    Report(data).write(tmp_path)
    with pytest.raises(FeaturesError, match=r"of the data set 'planted' \(\d+ classes\), the advice of 'tones' \(3\)"):
        add_to_report(tmp_path, advice, "my store")
    data["dataset"] |= {"name": "tones", "classes": ["dark", "light", "red"]}
    for run in data["runs"]:
        run["confusion"], run["per_class"] = [], []
    Report(data).write(tmp_path)
    with pytest.raises(FeaturesError, match=r"has no features of resnet18 with the weights random \(seed 0\)"):
        add_to_report(tmp_path, advice, "my store")
    for run in data["runs"]:
        run |= {"backbone": "resnet18", "weights": "random (seed 0)"}
    assert "Is the cache enough?" not in Report(data).to_html()
    Report(data).write(tmp_path)
    add_to_report(tmp_path, advice, "my store")
    page = (tmp_path / "report.html").read_text()
    assert 'id="advice"' in page and "Is the cache enough?" in (tmp_path / "report.md").read_text()
    assert Report.load(tmp_path).data["advice"]["verdict"] == advice.verdict


def test_more_than_there_is_memory_for_is_refused_before_anything_is_computed(place, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 300_000)
    with pytest.raises(FeaturesError, match=r"advising on 48 images of 512 features in 3 classes needs about .* free"):
        advise(FeatureStore(place / "store"), device="cpu", workers=0, nodes=("avgpool",))


def test_what_is_not_there_is_said(place):
    with pytest.raises(StoreNotFoundError, match="featstore info"):
        advise(FeatureStore(place / "store"), backbone="vgg16")
