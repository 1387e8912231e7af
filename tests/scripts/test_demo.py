"""The command demo: complete from nothing, offline."""

import functools
import json

import pytest

from classifiers import Report
from featstore.images import samples
from featstore_scripts import demo as file, options


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Fewer pictures, no weights on the machine, no server that answers."""
    monkeypatch.setattr(file, "HEADS", ("logistic", "centroid"))
    monkeypatch.setattr(file, "PATIENCE", 0.2)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    for name in ("write_textures", "write_digits"):
        monkeypatch.setattr(samples, name, functools.partial(_few, getattr(samples, name)))


def _few(write, folder, per_class):
    return write(folder, per_class=8)


def run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(file.demo, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


def test_it_compares_heads_on_two_sets_and_says_that_weights_are_random(tmp_path, capsys):
    out = tmp_path / "a demo"
    status, text, err = run(["--out", out], capsys)
    assert status == 0, err
    assert "No pretrained weights at hand: the network has seeded random weights" in text
    for name, classes in (("textures", 8), ("digits", 10)):
        assert str((out / name / "report.html").resolve()) in text
        data = Report.load(out / name).data
        assert len(data["dataset"]["classes"]) == classes
        assert [run["head"] for run in data["runs"]] == ["logistic", "centroid", "majority", "pixels"]
        assert all("random" in run["weights"] for run in data["runs"] if not run["reference"])
        assert "random" in (out / name / "report.html").read_text(encoding="utf-8")
    status, _, err = run(["--out", out], capsys)
    assert status == 1 and "exists already" in err
    status, text, _ = run(["--out", out, "--overwrite", "--json"], capsys)
    document = json.loads(text)
    assert status == 0 and document["format"] == 1
    assert document["textures"]["extract"]["images"] == 64 and document["digits"]["report"]["format"] == 1


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    status, _, err = run(["--out", tmp_path / "mine", "--overwrite"], capsys)
    assert status == 1 and "holds 'thesis.txt', which no demo made; name another place" in err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
