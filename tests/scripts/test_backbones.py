import json

from click.testing import CliRunner

from featstore.backbone.catalogue import BACKBONES
from featstore_scripts.backbones import backbones


def test_json_lists_every_network(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth").touch()
    document = json.loads(CliRunner().invoke(backbones, ["--json"]).stdout)
    rows = {row["name"]: row for row in document["backbones"]}
    assert document["format"] == 1 and set(rows) == set(BACKBONES)
    assert rows["resnet18"] == {
        "name": "resnet18",
        "family": "resnet",
        "parameters": 11689512,
        "input_size": 224,
        "dim": 512,
        "weights": ["IMAGENET1K_V1"],
        "default_weights": "IMAGENET1K_V1",
        "cached": ["IMAGENET1K_V1"],
    }
    assert rows["resnet50"]["cached"] == []


def test_table_cuts_no_name_and_marks_what_is_here(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth").touch()
    lines = CliRunner().invoke(backbones, []).stdout.splitlines()
    assert len(lines) == 1 + len(BACKBONES)
    assert [line.split()[0] for line in lines[1:]] == list(BACKBONES)
    assert next(line for line in lines if line.startswith("resnet50 ")).endswith("IMAGENET1K_V1, IMAGENET1K_V2*")
