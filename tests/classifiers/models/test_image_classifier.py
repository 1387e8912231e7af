"""ImageClassifier against the head on cached features, and against torchvision."""

import hashlib
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import MobileNet_V3_Small_Weights, mobilenet_v3_small

from classifiers.heads.registry import HEADS, make_head
from classifiers.models.bundle import load_bundle, save_bundle
from classifiers.models.bundle_network import open_backbone
from classifiers.models.image_classifier import ImageClassifier, freeze_on
from featstore.backbone import Backbone
from featstore.decoding.pixels.decode import decode_picture
from featstore.decoding.worker import decode_file
from featstore.errors import (
    DecodeError,
    FingerprintMismatchError,
    ImagesNotFoundError,
    NoGradientError,
    UnknownNameError,
    WeightsError,
    WeightsNotFoundError,
)
from tests.support.deep_pictures import deep_png
from tests.support.pictures import encode, texture
from tests.support.small_classifiers import small_classifier

DIFFERENTIABLE = [name for name, info in HEADS.items() if info.differentiable and not info.reference]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for i in range(24):
        picture = texture(i, 60 + i, 50) // (1 + 2 * (i % 3))
        (root / f"{i:02d}.png").write_bytes(encode(picture, "PNG"))
    return root


@pytest.fixture(scope="module")
def weights(folder):
    """A weights file, so that its place can change."""
    file = folder.parent / "net.safetensors"
    torch.manual_seed(0)
    save_file(mobilenet_v3_small().state_dict(), file)
    return file


@pytest.fixture(scope="module")
def cached(folder, weights):
    """Features as an extraction would make them, computed by other code than the classifier's."""
    backbone = Backbone("mobilenet_v3_small", weights, input_size=64)
    spec = backbone.transform
    rows = np.stack([spec.apply(np.asarray(Image.open(path))) for path in sorted(folder.iterdir())])
    mean, std = (np.array(v, dtype=np.float32) for v in (spec.mean, spec.std))
    pixels = torch.from_numpy(((rows / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        X = backbone.trunk(pixels)[0].numpy()
    return backbone, X, np.arange(24) % 3


def bundle(tmp_path, cached, name="logistic"):
    backbone, X, y = cached
    head = make_head(name, budget="quick", cv=3).fit(X, y)
    fingerprint = backbone.fingerprints()["avgpool"]
    save_bundle(tmp_path / "b", head, fingerprint, backbone.recipe(), ("bright", "middle", "dark"), name=name)
    return head, tmp_path / "b"


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_on_images_it_gives_the_probabilities_of_the_head_on_cached_features(tmp_path, folder, cached, name):
    head, path = bundle(tmp_path, cached, name)
    classifier = ImageClassifier.from_bundle(path)
    assert classifier.classes == ("bright", "middle", "dark")
    with torch.no_grad():
        proba = torch.softmax(classifier(classifier.open(sorted(folder.iterdir()))), dim=1).numpy()
    np.testing.assert_allclose(proba, head.predict_proba(cached[1]), atol=1e-5)


def test_gradients_reach_the_pixels(tmp_path, folder, cached):
    classifier = ImageClassifier.from_bundle(load_bundle(bundle(tmp_path, cached)[1]))
    x = classifier.open(sorted(folder.iterdir())[:2]).requires_grad_()
    classifier(x)[:, classifier.index("dark")].sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in classifier.parameters())


@pytest.mark.parametrize("name", ["lightgbm", "knn"])
def test_a_head_without_gradients_is_refused_with_those_that_have(tmp_path, cached, name):
    _, path = bundle(tmp_path, cached, name)
    with pytest.raises(NoGradientError, match=f"'{name}' has no gradients.*logistic.*featstore train"):
        ImageClassifier.from_bundle(path)


def test_opened_images_are_what_extraction_sees(tmp_path, folder, cached):
    classifier = ImageClassifier.from_bundle(bundle(tmp_path, cached)[1])
    path = sorted(folder.iterdir())[3]
    x = classifier.open([str(path), os.fsencode(path)])
    assert x.shape == (2, 3, 64, 64) and x.dtype == torch.float32
    expected = classifier.transform.apply(np.asarray(Image.open(path))).transpose(2, 0, 1)
    np.testing.assert_array_equal(np.round(x[0].numpy() * 255).astype(np.uint8), expected)
    assert torch.equal(x[0], x[1]) and x.min() >= 0 and x.max() <= 1


def test_files_that_cannot_be_opened_are_named(tmp_path, cached):
    classifier = ImageClassifier.from_bundle(bundle(tmp_path, cached)[1])
    with pytest.raises(ImagesNotFoundError, match=r"none\.jpg cannot be read: No such file"):
        classifier.open([tmp_path / "none.jpg"])
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xffnothing")
    with pytest.raises(DecodeError, match=r"bad\.jpg cannot be decoded"):
        classifier.open([tmp_path / "bad.jpg"])


def test_an_unknown_class_is_refused_with_close_matches(tmp_path, cached):
    classifier = ImageClassifier.from_bundle(bundle(tmp_path, cached)[1])
    with pytest.raises(UnknownNameError, match="'brigth'; close matches: bright"):
        classifier.index("brigth")


def test_the_imagenet_network_is_torchvisions_own(folder, weights):
    backbone = Backbone("mobilenet_v3_small", weights, input_size=64)
    classifier = ImageClassifier.imagenet(backbone)
    assert len(classifier.classes) == len(set(classifier.classes)) == 1000
    assert list(classifier.classes) == MobileNet_V3_Small_Weights.DEFAULT.meta["categories"]
    reference = mobilenet_v3_small()
    from safetensors.torch import load_file

    reference.load_state_dict(load_file(weights))
    x = classifier.open(sorted(folder.iterdir())[:2])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (classifier.transform.mean, classifier.transform.std))
    with torch.no_grad():
        torch.testing.assert_close(classifier(x), reference.eval()((x - mean) / std), rtol=1e-4, atol=1e-5)


def test_a_network_that_does_not_end_in_imagenet_has_no_imagenet_head(tmp_path):
    torch.manual_seed(0)
    save_file(mobilenet_v3_small(num_classes=7).state_dict(), tmp_path / "seven.safetensors")
    with pytest.raises(WeightsError, match="do not end in ImageNet"):
        ImageClassifier.imagenet(Backbone("mobilenet_v3_small", tmp_path / "seven.safetensors", input_size=64))


def test_weights_that_moved_are_found_beside_the_bundle_or_where_one_says(tmp_path, cached, weights):
    _, path = bundle(tmp_path, cached)
    stored = load_bundle(path)
    moved = tmp_path / "elsewhere" / weights.name
    moved.parent.mkdir()
    hidden = weights.with_suffix(".hidden")
    weights.rename(hidden)
    try:
        with pytest.raises(
            WeightsNotFoundError, match="does not exist: there the bundle remembers .*say where they are now"
        ):
            open_backbone(stored)
        shutil.copy(hidden, moved)
        assert open_backbone(stored, moved).weights.sha256 == stored.fingerprint.weights_sha256
        shutil.copy(path, moved.parent / "b")
        assert open_backbone(load_bundle(moved.parent / "b")).weights.path == moved
    finally:
        hidden.rename(weights)


def test_other_weights_are_refused(tmp_path, cached):
    _, path = bundle(tmp_path, cached)
    torch.manual_seed(1)
    save_file(mobilenet_v3_small().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(FingerprintMismatchError, match="SHA-256"):
        ImageClassifier.from_bundle(path, tmp_path / "other.safetensors")


def test_a_recipe_that_makes_other_features_is_refused(tmp_path, cached):
    backbone, X, y = cached
    head = make_head("logistic", budget="quick", cv=3).fit(X, y)
    recipe = backbone.recipe()
    recipe["transform"] = {**recipe["transform"], "resize": 99}
    save_bundle(tmp_path / "b", head, backbone.fingerprints()["avgpool"], recipe, "abc", name="logistic")
    with pytest.raises(FingerprintMismatchError, match="the recipe in the bundle makes the features"):
        ImageClassifier.from_bundle(tmp_path / "b")


def test_a_bundle_that_does_not_know_where_its_weights_are_says_what_to_give(tmp_path, cached):
    backbone, X, y = cached
    head = make_head("logistic", budget="quick", cv=3).fit(X, y)
    recipe = backbone.recipe()
    recipe["weights"]["path"] = ""
    save_bundle(tmp_path / "b", head, backbone.fingerprints()["avgpool"], recipe, "abc", name="logistic")
    with pytest.raises(WeightsNotFoundError, match=r'file net\.safetensors.*`weights="FILE"`'):
        ImageClassifier.from_bundle(tmp_path / "b")


def test_deep_files_are_opened_with_the_depth_that_extraction_was_given(tmp_path):
    picture = texture(5)
    (tmp_path / "x.png").write_bytes(deep_png(picture.astype(np.uint16) << 4))
    opened = [
        ImageClassifier.imagenet(Backbone("mobilenet_v3_small", "none", input_size=64, bit_depth=depth)).open(
            [tmp_path / "x.png"]
        )
        for depth in (None, 12)
    ]
    expected = Backbone("mobilenet_v3_small", "none", input_size=64).transform.apply(picture)
    np.testing.assert_array_equal((opened[1][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), expected)
    assert opened[0].mean() < opened[1].mean() / 8


def test_scaled_jpegs_are_opened_as_extraction_decodes_them(tmp_path):
    backbone = Backbone("mobilenet_v3_small", "none", input_size=64, jpeg_scaling=True)
    picture = np.asarray(Image.fromarray(texture(5)).resize((800, 600), Image.Resampling.BICUBIC))
    data = encode(picture, "JPEG")
    (tmp_path / "x.jpg").write_bytes(data)
    opened = ImageClassifier.imagenet(backbone).open([tmp_path / "x.jpg"])
    digest = hashlib.sha256(data).digest()
    _, _, pixels = decode_file(os.fsencode(tmp_path / "x.jpg"), digest, backbone.transform, decode_picture, 1 << 30)
    expected = np.frombuffer(pixels, np.uint8).reshape(64, 64, 3)
    np.testing.assert_array_equal((opened[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), expected)
    whole = backbone.transform.apply(np.asarray(Image.open(tmp_path / "x.jpg")))
    assert (whole != expected).any()


def test_a_frozen_network_says_the_same_and_takes_no_gradients():
    classifier = small_classifier(side=32)
    for parameter in classifier.parameters():
        parameter.requires_grad_(True)
    classifier.train()
    image = torch.from_numpy(texture(0, 32, 32)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        before = small_classifier(side=32)(image)
        freeze_on(classifier, "cpu")
        assert torch.allclose(classifier(image), before, atol=1e-4)
    assert not classifier.training and not any(p.requires_grad for p in classifier.parameters())
    weights = [p for p in classifier.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_what_shares_the_layers_goes_along():
    classifier = small_classifier(side=32)
    freeze_on(classifier, "cpu")
    first = next(classifier.backbone.network.parameters())
    assert first.data_ptr() == next(classifier.trunk.parameters()).data_ptr()
