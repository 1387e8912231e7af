import json

from click.testing import CliRunner

from featstore.layouts.catalogue import LAYOUTS
from featstore_scripts.layouts import layouts


def test_json_lists_every_layout():
    document = json.loads(CliRunner().invoke(layouts, ["--json"]).stdout)
    rows = {row["name"]: row for row in document["layouts"]}
    assert document["format"] == 1 and list(rows) == list(LAYOUTS)
    assert rows["oxford-pets"] == {
        "name": "oxford-pets",
        "looks": "images/Abyssinian_1.jpg, annotations/list.txt, annotations/trainval.txt, annotations/test.txt",
        "labels": "the breed from the names that the lists name, or the species from the lists",
        "parts": "trainval.txt (train) and test.txt",
        "label_columns": ["breed", "species"],
    }


def test_text_names_every_layout_and_the_labels_to_choose():
    result = CliRunner().invoke(layouts, [])
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(LAYOUTS)
    assert "labels to choose: breed, species" in result.stdout
