"""How long a fine-tune will take, told before it starts."""

import re

import torch

from classifiers.advice.cached_network import CachedNetwork
from classifiers.transfer.fine_tune_plan import FineTunePlan
from classifiers.transfer.time_told import time_told
from featstore.extract import extract
from featstore.images.samples import write_textures
from featstore.store.feature_store import FeatureStore


def test_it_names_epochs_images_and_what_comes_on_top(tmp_path):
    images, store = write_textures(tmp_path / "textures", per_class=4), tmp_path / "store"
    extract(images, store, engine="eager", workers=0, backbone="mobilenet_v3_small", weights="none", input_size=32)
    network = CachedNetwork.find(
        FeatureStore(store), images, dataset=None, select={}, weights=None, engine="eager", device="cpu", workers=0,
        progress=lambda *_: None,
    )  # fmt: skip
    plan = FineTunePlan.of(
        network, regime=4, head="logistic", budget="quick", device=torch.device("cpu"),
        given={"groups": "none", "epochs": 3, "views": 0}, progress=lambda *_: None,
    )  # fmt: skip
    told = time_told(plan, torch.device("cpu"), workers=0)
    assert re.match(r"about \d+ (second|minute)s?: 3 epochs of \d+ seconds? over \d+ images, plus \d+ ", told)
    assert f"over {len(plan.start.fit)} images" in told and "early stopping may end it sooner" in told
