import pytest
import torch

from featstore.backbone.classifier_matching import match_classifier


def layer(name, wide, narrow):
    return {f"{name}.weight": torch.ones(wide, narrow), f"{name}.bias": torch.ones(wide)}


ONE = layer("fc", 10, 4)
TWO = layer("classifier.0", 6, 4) | layer("classifier.3", 10, 6)


def match(expected, given, prefix="", exact=()):
    trunk = {"conv1.weight": f"{prefix}conv1.weight"}
    given = given | {f"{prefix}conv1.weight": torch.ones(1, 1, 1, 1)}
    return match_classifier(expected, prefix, trunk, {name: name for name in exact}, given)


def test_the_own_names_at_any_width():
    found = match(ONE, layer("fc", 3, 4), exact=ONE)
    assert (found.classes, found.renamed, found.names) == (3, "", {name: name for name in ONE})
    assert match(TWO, layer("classifier.0", 6, 4) | layer("classifier.3", 2, 6), exact=TWO).classes == 2


@pytest.mark.parametrize(
    "name", ["last_linear", "classifier", "head", "head.fc", "classifier.1", "cls_head.fc", "logits"]
)
def test_heads_of_other_libraries_are_known_by_name_and_width(name):
    found = match(ONE, layer(name, 7, 4), prefix="backbone.")
    assert (found.classes, found.renamed) == (7, name)
    assert found.names == {"fc.weight": f"{name}.weight", "fc.bias": f"{name}.bias"}


@pytest.mark.parametrize(
    "given",
    [
        layer("projector", 7, 4),
        layer("discriminator.fc", 7, 4),
        layer("momentum_backbone.fc", 7, 4),
        layer("fc", 7, 5),
        layer("fc.0", 4, 4) | layer("fc.2", 7, 4),
        layer("fc.0", 9, 4) | layer("fc.2", 7, 9),
        layer("head_a.fc", 7, 4) | layer("head_b.fc", 8, 4),
        {"fc.weight": torch.ones(7, 4)},
        {"fc.weight": torch.ones(7, 4), "fc.bias": torch.ones(8)},
        {},
    ],
)
def test_what_is_not_surely_the_head_is_left(given):
    exact = [name for name in ONE if name in given]
    assert match(ONE, given, exact=exact).names == {}


def test_all_but_the_last_layer_may_be_there():
    found = match(TWO, layer("classifier.0", 6, 4), exact=["classifier.0.weight", "classifier.0.bias"])
    assert found.classes is None and set(found.names) == {"classifier.0.weight", "classifier.0.bias"}


def test_further_layers_make_another_classifier():
    given = TWO | layer("classifier.5", 3, 10)
    assert match(TWO, given, exact=TWO).names == {}


def test_layers_of_another_library_fit_by_their_widths():
    found = match(TWO, layer("linear0", 6, 4) | layer("last_linear", 3, 6))
    assert (found.classes, found.renamed) == (3, "last_linear")
    assert found.names["classifier.0.bias"] == "linear0.bias"
