import pytest
import torch
from torch import nn

from classifiers.inspection.folded_classifier import FoldedClassifier
from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone import Backbone
from tests.support.small_classifiers import save_tint_bundle, small_classifier

torch.set_num_threads(1)


def stirred(network: nn.Module) -> None:
    """Batch norms that do something: fresh ones are nearly the identity."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)


def whole(name: str) -> ImageClassifier:
    classifier = ImageClassifier.imagenet(Backbone(name, "none", input_size=64))
    stirred(classifier.backbone.network)
    return classifier


def logits_and_gradient(classifier: nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = pixels.clone().requires_grad_(True)
    logits = classifier(pixels)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), pixels)
    return logits.detach(), gradient


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "vgg11_bn", "vgg11"])
def test_logits_and_gradients_are_the_whole_networks(name):
    classifier = whole(name)
    folded = FoldedClassifier(classifier)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = logits_and_gradient(classifier, pixels)
    for value, wanted in zip(logits_and_gradient(folded, pixels), expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_a_cut_network_keeps_its_pooling_and_its_head(tmp_path):
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for classifier in (small_classifier(), ImageClassifier.from_bundle(save_tint_bundle(tmp_path / "b", side=64))):
        expected = classifier(pixels)
        torch.testing.assert_close(FoldedClassifier(classifier)(pixels), expected, rtol=1e-3, atol=1e-3)


def test_the_classifier_stays_as_it_was():
    classifier = whole("resnet18")
    before = {name: value.clone() for name, value in classifier.backbone.network.state_dict().items()}
    folded = FoldedClassifier(classifier)
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    after = classifier.backbone.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {p.data_ptr() for p in folded.parameters()}.isdisjoint(value.data_ptr() for value in after.values())
