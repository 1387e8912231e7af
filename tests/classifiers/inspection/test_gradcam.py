import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v3_small, resnet18

from classifiers.inspection.gradcam import GradCam
from classifiers.inspection.lossless_crop import to_tensor
from classifiers.models.image_classifier import ImageClassifier
from featstore.backbone import Backbone
from featstore.errors import UnknownNameError
from tests.support.pictures import texture
from tests.support.small_classifiers import small_classifier

torch.set_num_threads(1)
IMAGE = to_tensor(texture(0, 64, 64)[None])


def by_hooks(network, layer, normalised, target):
    """Grad-CAM as tutorials write it: hooks on an eager model, a backward pass."""
    kept = {}
    forward = layer.register_forward_hook(lambda _m, _i, out: kept.update(maps=out))
    backward = layer.register_full_backward_hook(lambda _m, _i, out: kept.update(gradient=out[0]))
    logits = network(normalised.requires_grad_(True))
    logits[0, target].backward()
    forward.remove(), backward.remove()
    weights = kept["gradient"].mean((2, 3), keepdim=True)
    cam = torch.relu((weights * kept["maps"]).sum(1))[0].detach()
    return (cam / cam.max()).numpy(), float(logits.detach().softmax(1)[0, target])


@pytest.mark.parametrize("layer", ["layer4", "layer2"])
def test_of_a_whole_network_it_equals_hooks_on_torchvisions_eager_model(layer):
    backbone = Backbone("resnet18", "none", input_size=64)
    eager = resnet18().eval()
    eager.load_state_dict(backbone.network.state_dict())
    classifier = ImageClassifier.imagenet(backbone)
    normalised = (IMAGE - classifier.mean) / classifier.std
    heat, probability = by_hooks(eager, eager.get_submodule(layer), normalised, 7)
    found = GradCam(classifier, layer)(IMAGE, 7)
    np.testing.assert_allclose(found.heat, heat, atol=1e-4)
    assert found.probability == pytest.approx(probability, abs=1e-6)
    assert found.heat.min() >= 0 and found.heat.max() == 1


def test_of_a_bundle_it_equals_hooks_too_and_defaults_to_the_heads_node():
    classifier = small_classifier()
    eager = mobilenet_v3_small().eval()
    eager.load_state_dict(classifier.backbone.network.state_dict())
    body = torch.nn.Sequential(*eager.features[:4], torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), classifier.head)
    normalised = (IMAGE - classifier.mean) / classifier.std
    heat, probability = by_hooks(body, body[3], normalised, 1)
    found = GradCam(classifier)(IMAGE, 1)
    np.testing.assert_allclose(found.heat, heat, atol=1e-4)
    assert found.probability == pytest.approx(probability, abs=1e-5)
    with torch.no_grad():
        assert found.probability == pytest.approx(float(classifier(IMAGE).softmax(1)[0, 1]), abs=1e-5)


def test_nothing_that_speaks_for_a_class_is_no_heat():
    classifier = small_classifier()
    classifier.head.weight.zero_()
    assert not GradCam(classifier)(IMAGE, 0).heat.any()


def test_the_last_map_is_the_default_of_a_whole_network():
    classifier = ImageClassifier.imagenet(Backbone("resnet18", "none", input_size=64))
    np.testing.assert_array_equal(GradCam(classifier)(IMAGE, 3).heat, GradCam(classifier, "layer4")(IMAGE, 3).heat)


def test_nodes_without_a_map_or_behind_the_head_are_refused():
    classifier = ImageClassifier.imagenet(Backbone("resnet18", "none", input_size=64))
    with pytest.raises(UnknownNameError, match="it is a vector; name an earlier node"):
        GradCam(classifier, "flatten")(IMAGE, 0)
    with pytest.raises(UnknownNameError, match="unknown node of resnet18 'layer5'; close matches: layer"):
        GradCam(classifier, "layer5")
    with pytest.raises(UnknownNameError, match="unknown node before the head, which is at features.3: 'features.8'"):
        GradCam(small_classifier(), "features.8")
