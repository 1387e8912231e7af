import torch

from classifiers.placement import place
from tests.lookkit import small_classifier
from tests.pictures import texture


def test_a_placed_network_says_the_same_and_is_frozen():
    classifier = small_classifier(side=32)
    for parameter in classifier.parameters():
        parameter.requires_grad_(True)
    classifier.train()
    image = torch.from_numpy(texture(0, 32, 32)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        before = small_classifier(side=32)(image)
        place(classifier, "cpu")
        assert torch.allclose(classifier(image), before, atol=1e-4)
    assert not classifier.training and not any(p.requires_grad for p in classifier.parameters())
    weights = [p for p in classifier.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_what_shares_the_layers_goes_along():
    classifier = small_classifier(side=32)
    place(classifier, "cpu")
    first = next(classifier.backbone.network.parameters())
    assert first.data_ptr() == next(classifier.trunk.parameters()).data_ptr()
