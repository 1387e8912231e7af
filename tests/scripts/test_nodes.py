import json

from click.testing import CliRunner

from featstore.errors import UnknownNameError
from featstore_scripts.nodes import nodes


def test_json_has_shapes_and_widths():
    document = json.loads(CliRunner().invoke(nodes, ["vgg16", "--json"]).stdout)
    rows = {row["node"]: row for row in document["nodes"]}
    assert document["format"] == 1 and document["backbone"] == "vgg16"
    assert (rows["features"]["shape"], rows["features"]["dim"], rows["features"]["dim_flatten"]) == (
        [512, 7, 7],
        512,
        25088,
    )
    assert (rows["fc7"]["shape"], rows["fc7"]["dim"]) == ([4096], 4096)
    assert rows["avgpool"]["dim"] == 512


def test_table_follows_the_input_size():
    lines = CliRunner().invoke(nodes, ["resnet18", "--input-size", "64"]).stdout.splitlines()
    assert next(line for line in lines if line.startswith("layer4 ")).split()[:7] == [
        "layer4",
        "512",
        "x",
        "2",
        "x",
        "2",
        "512",
    ]


def test_all_lists_inner_modules_too():
    brief = CliRunner().invoke(nodes, ["resnet18"]).stdout.splitlines()
    full = CliRunner().invoke(nodes, ["resnet18", "--all"]).stdout.splitlines()
    assert {line.split()[0] for line in brief} < {line.split()[0] for line in full}
    assert any(line.startswith("layer1.0.conv2 ") for line in full)


def test_unknown_backbone_is_the_librarys_error():
    result = CliRunner().invoke(nodes, ["resnet"])
    assert isinstance(result.exception, UnknownNameError)
