"""The recipe of a backbone, from its fingerprint; the reference is Backbone's own."""

import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v3_small

from featstore.backbone import Backbone
from featstore.backbone.recipe import gone, last_seen, recipe_of
from featstore.extract import extract
from tests.support.pictures import write_tree


def test_it_is_the_backbones_own_recipe_for_random_weights():
    backbone = Backbone("mobilenet_v3_small", "none", seed=4, input_size=64, nodes=("features.3",), pool="max")
    assert recipe_of(backbone.fingerprints()["features.3"]) == backbone.recipe()


def test_it_is_the_backbones_own_recipe_for_a_file_whose_place_is_given(tmp_path):
    torch.manual_seed(0)
    save_file(mobilenet_v3_small().state_dict(), tmp_path / "net.safetensors")
    backbone = Backbone("mobilenet_v3_small", tmp_path / "net.safetensors")
    fingerprint = backbone.fingerprints()["avgpool"]
    assert recipe_of(fingerprint, tmp_path / "net.safetensors") == backbone.recipe()
    assert Backbone.from_recipe(recipe_of(fingerprint, tmp_path / "net.safetensors")).recipe() == backbone.recipe()


def test_a_vector_node_has_the_pooling_that_leaves_it_alone():
    fingerprint = Backbone("vgg11", "none", nodes=("fc7",)).fingerprints()["fc7"]
    assert fingerprint.pool == "none"
    rebuilt = Backbone.from_recipe(recipe_of(fingerprint))
    assert rebuilt.fingerprints()["fc7"].key == fingerprint.key


def test_a_file_is_looked_for_where_extract_last_read_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    save_file(mobilenet_v3_small().state_dict(), weights)
    folder = write_tree(tmp_path / "images", each=2)
    network = {"backbone": "mobilenet_v3_small", "weights": str(weights), "input_size": 32}
    extraction = extract(folder, tmp_path / "s", engine="eager", workers=0, **network)
    ((fingerprint, _),) = extraction.features
    assert last_seen(fingerprint.weights_sha256) == weights
    assert recipe_of(fingerprint)["weights"]["path"] == str(weights)
    weights.rename(tmp_path / "moved.safetensors")
    assert last_seen(fingerprint.weights_sha256) is None
    assert recipe_of(fingerprint)["weights"]["path"] == ""


def test_a_damaged_memory_is_no_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert last_seen("ab" * 32) is None
    folder = tmp_path / "featstore" / "fingerprints"
    folder.mkdir(parents=True)
    for name, text in {"a": "", "b": "[]", "c": '{"fingerprints": 3}', "d": "\xff", "e": '{"path": null}'}.items():
        (folder / f"{name}.json").write_text(text)
    assert last_seen("ab" * 32) is None


def test_a_file_that_is_gone_is_told_with_what_was_in_it_and_what_to_do(tmp_path):
    recipe = {
        "backbone": "resnet18",
        "weights": {"kind": "file", "label": "file net.pth", "sha256": "ab" * 32, "path": str(tmp_path / "net.pth")},
    }
    assert gone(recipe, "the bundle") == (
        f"the weights file {tmp_path}/net.pth does not exist: there the bundle remembers the weights 'file net.pth' of "
        'resnet18 (SHA-256 abababababab...); say where they are now with `weights="FILE"`'
    )
    recipe["weights"]["url"] = "https://example.org/net.pth"
    assert gone(recipe, "the bundle").endswith("; they came from https://example.org/net.pth")
    (tmp_path / "net.pth").touch()
    assert gone(recipe, "the bundle") == "" == gone({"weights": {"kind": "random"}}, "the bundle")
