"""What a fine-tune is trained on."""

import numpy as np
import pytest
import torch
from torch import nn

from classifiers.models.image_classifier import ImageClassifier
from classifiers.training import activation_cache, data as data_file
from classifiers.training.augment import Augmentation
from classifiers.training.data import TrainingData
from classifiers.training.loaders import ActivationLoader, PixelLoader
from classifiers.training.regimes import FineTuneSettings
from classifiers.training.starting_point import starting_point
from classifiers.training.unfreezing import UnfrozenNetwork
from featstore.backbone import Backbone
from featstore.extract import extract
from featstore.store.feature_store import FeatureStore
from tests.support.pictures import write_tree

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_tree(root / "images", each=8)
    extract(
        root / "images", root / "s", backbone="mobilenet_v3_small", weights="none", input_size=32, engine="eager",
        workers=0,
    )  # fmt: skip
    return starting_point(FeatureStore(root / "s").read(), fraction=0.25, seed=0, groups="none")


def training_data(start, folder, reopen="features.9", **more):
    backbone = Backbone("mobilenet_v3_small", "none", input_size=32)
    torch.manual_seed(0)
    unfrozen = UnfrozenNetwork(ImageClassifier(backbone, nn.Linear(576, 2), start.classes), reopen)
    settings = FineTuneSettings(reopen=reopen, **{"views": 2, **more})
    return TrainingData(unfrozen, start, settings, store=folder, folder=folder, device=CPU, workers=0), unfrozen


def test_an_open_network_is_fed_with_pixels(start, tmp_path):
    data, _ = training_data(start, tmp_path, reopen="all")
    assert isinstance(data.loader(), PixelLoader) and data.views == 0
    assert not (tmp_path / "activations").exists()


def test_the_first_view_is_the_image_as_it_is(start, tmp_path):
    data, unfrozen = training_data(start, tmp_path, views=1)
    loader = data.loader()
    assert isinstance(loader, ActivationLoader) and data.views == 1
    rows = np.array([3, 0])
    paths = [start.features.root + b"/" + start.features.paths[start.fit[row]] for row in rows]
    expected = unfrozen.lower(unfrozen.classifier.open(paths))
    torch.testing.assert_close(loader.training(rows, 0), expected, rtol=2e-3, atol=2e-3)
    paths = [start.features.root + b"/" + start.features.paths[start.valid[0]]]
    expected = unfrozen.lower(unfrozen.classifier.open(paths))
    torch.testing.assert_close(loader.validation(np.array([0])), expected, rtol=2e-3, atol=2e-3)


def test_views_differ_and_come_back_the_same(start, tmp_path):
    loaders = [training_data(start, tmp_path, views=3)[0].loader() for _ in range(2)]
    fresh = (
        training_data(start, tmp_path / "elsewhere", views=3)[0].loader()
        if (tmp_path / "elsewhere").mkdir() is None
        else 0
    )
    rows = np.arange(len(start.fit))
    seen = [loaders[0].training(rows, epoch) for epoch in range(12)]
    assert len({tuple(values[0].flatten().tolist()) for values in seen}) == 3
    for epoch in range(12):
        assert torch.equal(loaders[1].training(rows, epoch), seen[epoch])
        assert torch.equal(fresh.training(rows, epoch), seen[epoch])


def test_another_seed_or_augmentation_makes_other_views_and_keeps_the_first(start, tmp_path):
    training_data(start, tmp_path)[0].loader()
    count = len(list(tmp_path.rglob("*.safetensors")))
    training_data(start, tmp_path, seed=1)[0].loader()
    assert len(list(tmp_path.rglob("*.safetensors"))) == count + 1
    training_data(start, tmp_path, augmentation=Augmentation(colour=0.5))[0].loader()
    assert len(list(tmp_path.rglob("*.safetensors"))) == count + 2


def test_too_many_bytes_mean_fewer_views_and_that_is_said(start, tmp_path, monkeypatch):
    _, unfrozen = training_data(start, tmp_path, views=4)
    one = 2 * unfrozen.lower(torch.zeros(1, 3, 32, 32)).numel() * len(start.fit)
    monkeypatch.setattr("classifiers.training.data.CACHE_LIMIT", 2 * one)
    data, _ = training_data(start, tmp_path, views=4)
    data.loader()
    assert data.views == 2 and "kept 2 views" in data.notes[0]
    monkeypatch.setattr("classifiers.training.data.CACHE_LIMIT", one - 1)
    data, _ = training_data(start, tmp_path, views=4)
    assert isinstance(data.loader(), PixelLoader) and "computed anew in every epoch" in data.notes[0]


def test_what_will_be_decoded_is_known_before(start, tmp_path, monkeypatch):
    fit, valid = len(start.fit), len(start.valid)
    assert training_data(start, tmp_path, reopen="all")[0].decodings() == [fit, valid]
    monkeypatch.setattr("classifiers.training.data.CHUNK", fit - 1)
    decode, decoded = data_file.decode_rows, []

    def counted(rows, *arguments, **options):
        decoded.append(len(rows))
        return decode(rows, *arguments, **options)

    monkeypatch.setattr("classifiers.training.data.decode_rows", counted)
    data, _ = training_data(start, tmp_path, views=2)
    expected = [fit - 1, 1, fit - 1, 1, valid]
    assert data.decodings() == expected
    data.loader()
    assert decoded == expected
    assert training_data(start, tmp_path, views=2)[0].decodings() == []
    assert sum(training_data(start, tmp_path, views=2, seed=1)[0].decodings()) == fit  # the view that varies


def test_cached_activations_are_read_once(start, tmp_path, monkeypatch):
    training_data(start, tmp_path, views=3)[0].loader()
    files, read = len(list(tmp_path.rglob("*.safetensors"))), []
    inner = activation_cache.tensor_file.read
    monkeypatch.setattr(activation_cache.tensor_file, "read", lambda *a: (read.append(a), inner(*a))[1])
    training_data(start, tmp_path, views=3)[0].loader()
    assert len(read) == files


def test_calibration_gives_values_at_the_cut(start, tmp_path):
    data, _ = training_data(start, tmp_path)
    values = data.calibration(data.loader())
    assert sum(len(v) for v in values) == len(start.fit) and values[0].shape[1] == 48
