"""The README is true: its commands run as printed, its Python runs, its list of rooms says what the rooms say."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from classifiers import Report
from featstore_scripts import options
from featstore_scripts.main import VERBS, group
from tests.house.imports import modules
from tests.support.pictures import write_tree

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ["--weights", "none", "--input-size", "32", "--engine", "eager", "-j", "0"]


def commands() -> list[list[str]]:
    """Every command line that stands in a code block or in backticks, without its comment."""
    found = re.findall(r"^featstore .*$", README, re.M) + re.findall(r"`(featstore [^`]+)`", README)
    lines = [shlex.split(line, comments=True)[1:] for line in found]
    return [words for words in lines if words and words[0] in VERBS]


def route() -> list[list[str]]:
    block = re.search(r"## The route\s*```bash\n(.*?)```", README, re.S)
    return [shlex.split(line, comments=True)[1:] for line in block.group(1).splitlines()]


def run(words, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        options.run(group, words)
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A user's folder, as the README names things."""
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "photos", each=8, splits=("train", "test"))
    write_tree(tmp_path / "new_photos", each=2, seed=900)
    return tmp_path


def test_the_route_runs_as_printed(photos, capsys):
    steps = route()
    assert [words[0] for words in steps] == ["extract", "info", "compare", "train", "predict"]
    for words in steps:
        changes = [*SMALL] if words[0] == "extract" else ["--budget", "quick"] if words[0] == "train" else []
        if words[0] == "compare":
            changes = ["--heads", "logistic,centroid", "--budget", "quick"]
        words = ["resnet18" if word == "resnet50" else word for word in words]
        status, out, err = run([*words, *changes], capsys)
        assert status == 0, (words, out, err)
    assert len(out.splitlines()) == 1 + 4 and out.startswith("image,class,probability,class_2")
    heads = [r["head"] for r in Report.load(photos / "report").data["runs"] if not r["reference"]]
    assert heads == ["logistic", "centroid"]
    assert "random" in (photos / "report" / "report.html").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(photos):
    code = re.search(r"From Python:\s*```python\n(.*?)```", README, re.S).group(1)
    small = 'weights="none", input_size=32, engine="eager", workers=0'
    code = code.replace('backbone="resnet18")', f'backbone="resnet18", {small})')
    code = code.replace('["logistic", "svm", "knn"])', '["logistic", "svm", "knn"], budget="quick")')
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["features"].X.shape == (32, 512)
    assert [r["head"] for r in Report.load(photos / "report").data["runs"]][:3] == ["logistic", "svm", "knn"]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_readme_can_be_typed(words):
    verb = group.get_command(None, words[0])
    words = [word for word in words[1:] if word != "..."]
    if words:
        verb.make_context(words[0], list(words))  # raises UsageError for an option that is not there


def test_the_list_of_rooms_is_complete_and_says_what_their_doors_say():
    told = dict(re.findall(r"^\| `((?:featstore|classifiers|scripts)[\w/]*)` \| (.*) \|$", README, re.M))
    real = {}
    for door, path in modules().items():
        if path.name == "__init__.py" and door not in ("featstore", "classifiers"):
            first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n\n")[0]
            real[str(path.parent.relative_to(ROOT))] = " ".join(first.split()).rstrip(".")
    assert told == real


def test_the_test_command_is_a_complete_one():
    block = re.search(r"<!-- test-command -->\s*```bash\n(.*?)```", README, re.S).group(1)
    assert "venv" in block and "pip install" in block and "pytest" in block
