"""A store where a store is wanted; a bundle is called what it is."""

from pathlib import Path

import click
import pytest

from classifiers.models import tensor_file
from classifiers.models.bundle import FORMAT
from featstore.errors import StoreFormatError
from featstore_scripts.main import VERBS, group
from featstore_scripts.store_folder import StoreFolder, not_a_bundle

TAKE_A_STORE = ("advise", "compact", "compare", "finetune", "gc", "info", "repair", "train", "verify")


@pytest.fixture
def bundle(tmp_path):
    tensor_file.write(tmp_path / "pets.bundle", FORMAT, {"head": "any"}, {})
    return tmp_path / "pets.bundle"


@pytest.mark.parametrize("verb", TAKE_A_STORE)
def test_every_verb_that_takes_a_store_says_that_a_bundle_is_one_and_what_to_do_with_it(verb, bundle, tmp_path):
    more = {"compare": ["-o", str(tmp_path / "r")], "train": ["--head", "knn", "-o", str(tmp_path / "b")]}
    with pytest.raises(StoreFormatError) as raised:
        group.main([verb, str(bundle), *more.get(verb, [])], standalone_mode=False)
    said = str(raised.value)
    assert said.startswith(f"{bundle} is a bundle, a trained classifier, and no feature store")
    for command in ("predict", "evaluate", "export"):
        assert f"`featstore {command} {bundle} " in said


def test_a_bundle_is_exported_as_onnx_and_as_nothing_else(bundle, tmp_path):
    with pytest.raises(StoreFormatError, match="is a bundle.*onnx"):
        group.main(["export", str(bundle), "-o", str(tmp_path / "x.npz")], standalone_mode=False)


def test_verbs_that_are_advised_are_there_and_all_that_take_a_store_are_tried():
    assert {"predict", "export"} <= VERBS.keys()
    commands = {verb: group.get_command(click.Context(group), verb) for verb in VERBS}
    stores = {v for v, command in commands.items() if any(isinstance(p.type, StoreFolder) and p.name == "store" and
              isinstance(p, click.Argument) for p in command.params)}  # fmt: skip
    assert stores == set(TAKE_A_STORE)


@pytest.mark.parametrize("name", ["none", "", "a"])
def test_anything_else_is_for_the_store_to_judge(name, tmp_path):
    (tmp_path / "a").write_bytes(b"text")
    not_a_bundle(str(tmp_path / name))
    assert StoreFolder().convert(str(tmp_path / name), None, None) == str(Path(tmp_path, name))
