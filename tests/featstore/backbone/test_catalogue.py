import subprocess
import sys

import pytest
import torch
from torchvision import models

from featstore.backbone.catalogue import BACKBONES, checkpoint_folder, lookup
from featstore.errors import UnknownNameError

FAMILIES = {"vgg": ("vgg",), "resnet": ("resnet", "resnext", "wide_resnet"), "mobilenet": ("mobilenet",)}


def test_table_holds_every_torchvision_builder_of_the_three_families():
    starts = tuple(start for family in FAMILIES.values() for start in family)
    assert set(BACKBONES) == {name for name in models.list_models(module=models) if name.startswith(starts)}


@pytest.mark.parametrize("name", BACKBONES)
def test_entry_agrees_with_torchvision(name):
    info = lookup(name)
    enum = models.get_model_weights(name)
    assert info.name == name
    assert name.startswith(FAMILIES[info.family])
    assert dict(info.files) == {member.name: member.url.rpartition("/")[2] for member in enum}
    assert info.default_weights == enum.DEFAULT.name
    assert {member.meta["num_params"] for member in enum} == {info.parameters}
    assert {member.transforms().crop_size[0] for member in enum} == {info.input_size}


def test_unknown_name_offers_close_matches():
    with pytest.raises(UnknownNameError, match="unknown backbone 'resnet51'; close matches: resnet50"):
        lookup("resnet51")


@pytest.mark.parametrize(
    "settings",
    [{}, {"XDG_CACHE_HOME": "/a/b"}, {"TORCH_HOME": "~/weights"}, {"TORCH_HOME": "/c", "XDG_CACHE_HOME": "/d"}],
)
def test_checkpoint_folder_is_where_torch_looks(monkeypatch, settings):
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert str(checkpoint_folder()) == f"{torch.hub.get_dir()}/checkpoints"


def test_cached_lists_files_that_are_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lookup("resnet50").cached() == ()
    checkpoint_folder().mkdir(parents=True)
    (checkpoint_folder() / "resnet50-0676ba61.pth").touch()
    assert lookup("resnet50").cached() == ("IMAGENET1K_V1",)


def test_table_needs_no_torch():
    code = "import sys, featstore.backbone.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
