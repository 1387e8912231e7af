import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from featstore.backbone import Backbone
from featstore.backbone.architecture import random_state_dict
from featstore.decoding.pixels.transform import TransformSpec
from featstore.errors import (
    FeaturesError,
    FingerprintMismatchError,
    UnknownNameError,
    WeightsError,
    WeightsNotFoundError,
)
from tests.support.engine_example import seeded

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with weights whose batch-norm statistics are not the trivial ones."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(seeded(SMALL).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def small(weights):
    return Backbone(SMALL, weights)


def penultimate(reference, x):
    """What reaches the classifier of torchvision's eager network."""
    seen = []
    name, _ = list(reference.named_children())[-1]
    reference.get_submodule(name).register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    with torch.inference_mode():
        reference(x)
    return seen[0]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", SMALL, "mobilenet_v3_large"])
def test_default_features_are_what_reaches_torchvisions_classifier(tmp_path, name):
    reference = seeded(name)
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    backbone = Backbone(name, tmp_path / "w.pth", input_size=128)
    x = torch.randn(2, 3, 128, 128)
    expected = penultimate(reference, x)
    with torch.inference_mode():
        (found,) = backbone.trunk(x)
    assert found.shape == (2, backbone.widths["avgpool"]) and found.dtype == torch.float32
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert expected.std() > 0


def test_vgg_has_its_map_and_its_wide_layers():
    torch.manual_seed(1)
    reference = models.vgg11(weights=None).eval()
    backbone = Backbone("vgg11", "none", seed=1, nodes=("features", "fc7", "avgpool", "fc6"), pool="flatten")
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        maps = reference.features(x)
        fc6 = reference.classifier[:2](maps.flatten(1))
        expected = maps.flatten(1), reference.classifier[2:5](fc6.clone()), maps.mean((2, 3)), fc6
        found = backbone.trunk(x)
    assert backbone.widths == {"features": 25088, "fc7": 4096, "avgpool": 512, "fc6": 4096}
    assert backbone.pools == {"features": "flatten", "fc7": "none", "avgpool": "avg", "fc6": "none"}
    for value, wanted in zip(found, expected, strict=True):
        assert (value - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("pool", ["max", "gem", "flatten"])
def test_pool_applies_to_every_map(weights, pool):
    backbone = Backbone(SMALL, weights, nodes=("features.3", "avgpool"), pool=pool, input_size=64)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        early, last = (backbone.network.features[:n](x) for n in (4, 13))
        first, second = backbone.trunk(x)
    formula = {
        "max": lambda v: v.amax((2, 3)),
        "gem": lambda v: (v.clip(1e-6) ** 3).mean((2, 3)) ** (1 / 3),
        "flatten": lambda v: v.flatten(1),
    }
    torch.testing.assert_close(first, formula[pool](early), rtol=1e-4, atol=1e-5)
    pooled = last.mean((2, 3)) if pool == "flatten" else formula[pool](last)  # avgpool is one number a channel
    torch.testing.assert_close(second, pooled, rtol=1e-4, atol=1e-5)
    assert (first.shape[1], second.shape[1]) == tuple(backbone.widths.values())
    assert backbone.pools["avgpool"] == ("avg" if pool == "flatten" else pool)


def test_forward_stops_at_the_deepest_node(weights):
    backbone = Backbone(SMALL, weights, nodes=("features.2", "features.1"))
    kept = sum(p.numel() for p in backbone.trunk.parameters())
    assert 0 < kept < 0.02 * sum(p.numel() for p in backbone.network.parameters())


def test_trunk_shares_the_networks_memory(small):
    storages = {p.data_ptr() for p in small.network.parameters()}
    assert {p.data_ptr() for p in small.trunk.parameters()} <= storages


def test_whole_network_gives_torchvisions_logits(small, weights):
    reference = seeded(SMALL)
    x = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(small.network(x), reference(x), rtol=1e-4, atol=1e-5)
    assert small.has_imagenet_head
    assert not any(p.requires_grad for p in small.network.parameters()) and not small.network.training


def test_transform_is_what_the_weights_prescribe(monkeypatch, weights, tmp_path):
    assert Backbone(SMALL, weights).transform == TransformSpec(resize=256, crop=224)
    assert Backbone(SMALL, weights, input_size=112).transform == TransformSpec(resize=128, crop=112)
    own = TransformSpec(resize=64, crop=64, mean=(0.5, 0.5, 0.5))
    assert Backbone(SMALL, weights, transform=own).transform == own
    told = Backbone(SMALL, weights, bit_depth=12, allow_truncated=True).transform
    assert told == TransformSpec(resize=256, crop=224, bit_depth=12, allow_truncated=True)
    assert Backbone(SMALL, weights, transform=told).transform == told


def test_transform_of_a_named_member(monkeypatch):
    from featstore.backbone import weights as module

    path = "/nowhere/x.pth"
    monkeypatch.setattr(module, "_pretrained", lambda *_: path)
    monkeypatch.setattr(module, "read_state", lambda _: random_state_dict("mobilenet_v2", 0))
    assert Backbone("mobilenet_v2").transform == TransformSpec(resize=232, crop=224)
    assert Backbone("mobilenet_v2", "IMAGENET1K_V1").transform == TransformSpec(resize=256, crop=224)
    assert Backbone("mobilenet_v2", input_size=320).transform == TransformSpec(resize=331, crop=320)


def test_fingerprints_say_what_changes_the_numbers(weights):
    both = Backbone(SMALL, weights, nodes=("avgpool", "features.4"), pool="max").fingerprints("bf16")
    assert list(both) == ["avgpool", "features.4"]
    document = both["features.4"].to_json()
    assert document["backbone"] == SMALL and document["pool"] == "max" and document["precision"] == "bf16"
    assert document["weights"] == "file small.safetensors" and len(document["weights_sha256"]) == 64
    assert document["transform"]["crop"] == 224 and document["decode"]
    keys = {
        Backbone(SMALL, weights).fingerprints()["avgpool"].key,
        Backbone(SMALL, weights, input_size=96).fingerprints()["avgpool"].key,
        Backbone(SMALL, weights, pool="max").fingerprints()["avgpool"].key,
        Backbone(SMALL, "none").fingerprints()["avgpool"].key,
        Backbone(SMALL, "none", seed=1).fingerprints()["avgpool"].key,
    }
    assert len(keys) == 5


def test_pool_of_a_vector_is_not_part_of_its_key(weights):
    average, greatest = (Backbone(SMALL, weights, nodes=("classifier",), pool=p).fingerprints() for p in ("avg", "max"))
    assert average["classifier"].key == greatest["classifier"].key


def test_key_does_not_depend_on_where_the_file_is(weights, tmp_path):
    (tmp_path / "copy.safetensors").write_bytes(weights.read_bytes())
    one, two = Backbone(SMALL, weights), Backbone(SMALL, tmp_path / "copy.safetensors")
    assert one.fingerprints()["avgpool"].key == two.fingerprints()["avgpool"].key


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"nodes": ("layer4",)}, UnknownNameError, "unknown node of mobilenet_v3_small 'layer4'"),
        ({"nodes": ()}, FeaturesError, "no node was named"),
        ({"pool": "mean"}, UnknownNameError, "unknown pool 'mean'; close matches: max"),
        ({"input_size": 16}, FeaturesError, "input size 16 is too small"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=match):
        Backbone(SMALL, "none", **options)


def test_unknown_node_is_refused_before_weights_are_looked_for(monkeypatch):
    monkeypatch.setattr(
        "featstore.backbone.backbone.load_weights", lambda *_, **__: pytest.fail("weights were looked for")
    )
    with pytest.raises(UnknownNameError):
        Backbone(SMALL, nodes=("nowhere",))


def test_nan_in_the_classifier_matters_only_where_it_is_needed(tmp_path):
    state = random_state_dict(SMALL, 0)
    state["classifier.0.weight"].fill_(float("nan"))  # as torchvision's IMAGENET1K_FEATURES of VGG-16
    torch.save(state, tmp_path / "w.pth")
    assert not Backbone(SMALL, tmp_path / "w.pth").has_imagenet_head
    with pytest.raises(WeightsError, match=r"classifier.0.weight of the weights file w.pth holds NaN or infinity"):
        Backbone(SMALL, tmp_path / "w.pth", nodes=("classifier.1",))


def test_fine_tuned_head_of_another_width(tmp_path):
    state = random_state_dict(SMALL, 0)
    state |= {"classifier.3.weight": torch.zeros(5, 1024), "classifier.3.bias": torch.zeros(5)}
    torch.save(state, tmp_path / "w.pth")
    backbone = Backbone(SMALL, tmp_path / "w.pth", nodes=("classifier", "avgpool"))
    assert backbone.widths == {"classifier": 5, "avgpool": 576}
    assert not backbone.has_imagenet_head


def test_recipe_survives_json_and_builds_the_same_network(weights):
    backbone = Backbone(SMALL, weights, nodes=("features.5", "avgpool"), pool="gem", input_size=96)
    again = Backbone.from_recipe(json.loads(json.dumps(backbone.recipe())))
    assert again.fingerprints() == backbone.fingerprints()
    x = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(again.trunk(x), backbone.trunk(x), strict=True))


def test_recipe_of_seeded_weights():
    backbone = Backbone(SMALL, "none", seed=7)
    assert Backbone.from_recipe(backbone.recipe()).fingerprints() == backbone.fingerprints()


def test_recipe_names_a_file_that_is_gone(weights, tmp_path):
    (tmp_path / "moved.safetensors").write_bytes(weights.read_bytes())
    recipe = Backbone(SMALL, tmp_path / "moved.safetensors").recipe()
    (tmp_path / "moved.safetensors").unlink()
    with pytest.raises(WeightsNotFoundError, match="moved.safetensors does not exist"):
        Backbone.from_recipe(recipe)
    assert Backbone.from_recipe(recipe, weights).weights.path == weights


def test_recipe_refuses_other_tensors(weights):
    recipe = Backbone(SMALL, weights).recipe()
    with pytest.raises(
        FingerprintMismatchError, match="random .seed 0. of .*but .* .file small.safetensors. were used"
    ):
        Backbone.from_recipe(recipe, "none")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": 2}, "format 2, not 1; update featstore"),
        ({"weights": None}, "no backbone recipe"),
        ({"transform": {"crop": 3}}, "no backbone recipe"),
        ({"transform": {"resize": -1, "crop": 3, "mean": [0, 0, 0], "std": [1, 1, 1]}}, "no backbone recipe"),
    ],
)
def test_malformed_recipe(small, change, match):
    with pytest.raises(FingerprintMismatchError, match=match):
        Backbone.from_recipe(small.recipe() | change)


def test_real_weights_tell_pictures_apart(shared_weights, shared_data):
    from PIL import Image

    backbone = Backbone("mobilenet_v2", shared_weights)
    picture = sorted((shared_data / "cats_dogs").rglob("*.jpg"))[0]
    pixels = torch.tensor(backbone.transform.apply(np.asarray(Image.open(picture).convert("RGB"))))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.transform.mean, backbone.transform.std))
    x = ((pixels.permute(2, 0, 1) / 255 - mean) / std)[None]
    with torch.inference_mode():
        assert backbone.network(x).softmax(1).max() > 0.3
