"""One exception tree; every leaf is also the built-in that fits."""

import inspect

import pytest

from featstore import errors
from featstore.errors import FeatstoreError, UnknownNameError, recreated

LEAVES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, FeatstoreError) and not kind.__subclasses__()
]  # fmt: skip


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_a_leaf_is_also_a_built_in(kind):
    built_in = [
        base
        for base in kind.__mro__
        if base.__module__ == "builtins" and base not in (Exception, BaseException, object)
    ]
    assert built_in and kind.__doc__


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("resnet8", ["resnet18", "vgg16"], "unknown backbone 'resnet8'; close matches: resnet18"),
        ("zzz", ["resnet18", "vgg16"], "unknown backbone 'zzz'; known: resnet18, vgg16"),
        ("zzz", [], "unknown backbone 'zzz'; none are known"),
        (
            "zzz",
            [f"net{i}" for i in range(20)],
            "unknown backbone 'zzz'; 20 are known, for instance net0, net1, net2, net3, net4",
        ),
    ],
)
def test_an_unknown_name_offers_what_there_is(name, known, sentence):
    assert str(UnknownNameError("backbone", name, known)) == sentence
    assert (
        str(UnknownNameError("backbone", name, known, "see `featstore backbones`"))
        == sentence + "; see `featstore backbones`"
    )


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_an_error_of_another_process_is_made_again(kind):
    error = recreated(kind.__name__, "cuda:1: what happened")
    assert type(error) is kind and str(error) == "cuda:1: what happened"
    assert type(recreated("SystemExit", "x")) is FeatstoreError
