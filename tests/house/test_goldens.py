"""What is said, drawn, written and predicted, against what was recorded in `tests/data/golden`.

`python -m tests.house.test_goldens` records it anew; read the difference before it is committed.
"""

import dataclasses
import hashlib
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from classifiers import Report, load_bundle, make_head, save_bundle
from classifiers.report.verdict import verdict
from featstore import FeatureStore
from featstore.backbone import Backbone
from featstore_scripts.main import VERBS
from featstore_scripts.wording import worded
from tests.classifiers.report.test_advice_panel import advice
from tests.support.feature_sets import digits
from tests.support.report_example import planted
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

DATA = Path(__file__).resolve().parents[1] / "data"
GOLDEN = DATA / "golden"
EXAMPLES = ("several-sets", "cross-validated")
RENDERINGS = ("json", "txt", "narrow.txt", "md", "html", "notebook.html")
SECTIONS = [
    "verdict", "warnings", "next", "heads", "pairs", "classes", "confusions", "calibration", "advice", "curves", "time",
    "map", "mistakes", "labels", "search", "provenance",
]  # fmt: skip
HEADS = ("logistic", "svm", "centroid", "knn", "lightgbm")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pretty(document: Any) -> str:
    """JSON for people: short lists on one line."""
    text = json.dumps(document, indent=1, sort_keys=True)
    return re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


# Reports. Their data is read from the recorded JSON, so that no other library's last digit can change a rendering.


def example(name: str) -> dict[str, Any]:
    """The data of a report that reaches, with the other one, every section and most sentences."""
    data = several_sets() if name == "several-sets" else cross_validated()
    return rounded(data)


def several_sets() -> dict[str, Any]:
    failed = [["b/broken.jpg", "b/broken.jpg: the file is empty"]]
    sets = (
        {"failed": failed},
        {"node": "features.12", "feature_key": "1" * 16, "weights": "random (seed 0)", "dim": 576},
    )
    strengths = {"logistic": 2.4, "knn": 0.9}
    data = planted(4, 40, strengths=strengths, sets=sets, classes=("ants", "a|b", "<wasps>", "Käfer"))
    paths = data["images"]["ids"] = data["images"]["paths"]
    data["warnings"] = [{"kind": "leak", "text": "12 test images have a near copy; use `--drop-leaks`."}]
    data["omitted"] = [{"head": "forest", "feature": 0, "reason": "too few images"}]
    data["leaks"] |= {
        "near": 12,
        "examples": [
            {"kind": "near", "a": paths[0], "b": paths[1], "cosine": 0.99},
            {"kind": "identical", "a": paths[2], "b": "elsewhere.jpg", "cosine": None},
        ],
    }
    data["layer_curve"] = [
        {"backbone": "mobilenet_v2", "node": node, "pool": "avg", "dim": 96, "head": "logistic", "accuracy": share,
         "accuracy_ci": [share - 0.05, share + 0.05], "cv_accuracy": share}
        for node, share in (("features.4", 0.5), ("features.12", 0.8), ("avgpool", 0.7))
    ]  # fmt: skip
    cost = {"text": "an epoch takes about 2 minutes"}
    data["advice"] = {**advice(), "cost": cost, "next": "featstore finetune cache photos"}
    data["store"] = "my cache"
    return data


def cross_validated() -> dict[str, Any]:
    data = planted(3, 48, strengths={"logistic": 0.3, "svm": 0.2, "knn": 0.0})
    data["protocol"] |= {"name": "cv", "groups": "(.*)_[0-9]+", "n_groups": 12}
    for run in data["runs"][:3]:
        run |= {"beats_majority": False, "converged": run["head"] != "svm"}
    data["runs"][1]["notes"] = ["stopped at its limit of 1,000 steps"]
    data["runs"][2]["predictions"] = None
    for row in data["wrong_labels"]["suspects"]:
        row["suspected"] = False
    data["learning_curve"] = data["map"] = data["leaks"] = None
    return data


def rounded(value: Any) -> Any:
    """Numbers to six digits: what libraries and processors may differ in is gone."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def rendered(data: dict[str, Any], kind: str, folder: Path) -> str:
    """One rendering of a report; for its page there are pictures in the folder."""
    if kind == "html":
        for i, path in enumerate(data["images"]["paths"][:-3]):  # the last three have no picture
            place = folder / path
            place.parent.mkdir(exist_ok=True)
            Image.new("RGB", (40, 30), (4 * i, 128, 255 - 4 * i)).save(place, "PNG")
        return without_assets(Report({**said(data), "dataset": {**data["dataset"], "root": str(folder)}}).to_html())
    report = Report(data if kind == "json" else said(data))
    return {
        "json": report.to_json,
        "txt": report.to_text,
        "narrow.txt": lambda: report.to_text(width=60),
        "md": report.to_markdown,
        "notebook.html": report._repr_html_,
    }[kind]()


def said(data: dict[str, Any]) -> dict[str, Any]:
    """The data as `featstore compare` renders it: with a verdict, in the words of commands."""
    return worded({**data, "verdict": verdict(data)})


def without_assets(page: str) -> str:
    """A page with hashes in place of style and script; pictures are cut out, for codecs differ in their bytes."""
    page = re.sub(r"(data:image/webp;base64,)[\w+/=]+", r"\1", page)
    parts = r"(?s)(<style>|<script>)(.*?)(</style>|</script>)"
    return re.sub(parts, lambda part: f"{part[1]}{sha256(part[2].encode())}{part[3]}", page)


@pytest.mark.parametrize("kind", RENDERINGS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_report_is_rendered_as_recorded(name, kind, tmp_path):
    data = json.loads(golden(f"report/{name}.json"))
    assert rendered(data, kind, tmp_path) == golden(f"report/{name}.{kind}")


def test_the_recorded_pages_have_every_section():
    anchors = [re.findall(r'<a href="#(\w+)">', golden(f"report/{name}.html")) for name in EXAMPLES]
    assert anchors[0] == SECTIONS and set(anchors[1]) < set(SECTIONS)
    assert golden("report/several-sets.html").count('<img src="data:image/webp;base64,"') > 10


# Help.


def help_of(verb: str) -> str:
    """The help text of a verb, or of the whole command for no verb.

    In a process of its own: a command that a test called by itself remembers the help option of that call.
    """
    words = ["--help"] if verb == "featstore" else [verb, "--help"]
    program = (
        "import sys, click.formatting; from featstore_scripts.main import group; click.formatting.FORCED_WIDTH = 80; "
        "group(sys.argv[1:], prog_name='featstore')"
    )
    ended = subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True)
    return ended.stdout.decode()


@pytest.mark.parametrize("verb", ["featstore", *VERBS])
def test_the_help_is_as_recorded(verb):
    assert help_of(verb).split() == golden(f"help/{verb}.txt").split()  # releases of click break lines differently


def test_there_is_a_recorded_help_for_every_verb():
    assert {path.stem for path in (GOLDEN / "help").iterdir()} == {"featstore", *VERBS}


# The store.


def make_store(folder: Path) -> Path:
    """A store with an image set, failed rows, two feature sets, two shards in one of them."""
    store = FeatureStore(folder / "s", create=True)
    store.put_imageset(images("abcde", splits=["train", "train", "train", "test", "test"], problems="e"))
    store.commit(fingerprint(), rows("abcd", failed="d"), PROVENANCE)
    half = fingerprint(node="layer3", precision="fp16")
    store.commit(half, rows("ab", dim=3), PROVENANCE)
    store.commit(half, rows("cd", dim=3), {**PROVENANCE, "engine": "openvino"})
    return store.path


def files(store: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(store.rglob("*")):
        if path.is_file():
            yield path.relative_to(store).as_posix(), path


def store_bytes(store: Path) -> dict[str, str]:
    """SHA-256 of every file but store.json, which holds a random identifier."""
    return {name: sha256(path.read_bytes()) for name, path in files(store) if name != "store.json"}


def store_contents(store: Path) -> dict[str, Any]:
    """What every file holds, without what depends on the release of the HDF5 library."""
    found = {name: document(path) if path.suffix == ".json" else arrays(path) for name, path in files(store)}
    shards = sorted((str(value), name) for name, value in found.items() if "/shards/" in name)
    for number, (_, name) in enumerate(shards):
        found[f"{name.rpartition('/')[0]}/{number}.h5"] = found.pop(name)  # a shard's name is the hash of its bytes
    return found


def document(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_bytes())
    assert re.fullmatch("[0-9a-f]{64}", found.pop("sha256"))
    if path.name == "store.json":
        assert re.fullmatch("[0-9a-f-]{36}", found.pop("uuid"))
    for shard in found.get("shards", []):
        assert f"{shard.pop('sha256')}.h5" in {file.name for file in (path.parents[1] / "shards").iterdir()}
        del shard["bytes"]
        shard["layout"] = {name: [dtype, shape] for name, (_, dtype, shape) in shard["layout"].items()}
    return found


def arrays(path: Path) -> dict[str, Any]:
    """The attribute and the arrays of an HDF5 file, read with nothing but h5py."""
    with h5py.File(path) as file:
        about = json.loads(file.attrs["featstore"])
        held = {name: [array.dtype.str, list(array.shape), sha256(array[()].tobytes())] for name, array in file.items()}
    return {"about": about, "arrays": held}


def fingerprint_keys() -> dict[str, str]:
    changes: list[dict[str, Any]] = [
        {}, {"backbone": "vgg16"}, {"node": "layer3"}, {"pool": "max"}, {"precision": "bf16"},
        {"decode": {"version": 2}}, {"weights_sha256": "0" * 64}, {"transform": {"crop": 192, "mean": [0.5, 1e-07, 1]}},
    ]  # fmt: skip
    return {json.dumps(change): fingerprint(**change).key for change in changes}


def test_a_store_holds_what_was_recorded(tmp_path):
    path = make_store(tmp_path)
    assert store_contents(path) == json.loads(golden("store.json"))["contents"]
    assert FeatureStore(path).verify().ok


def test_a_store_is_written_in_the_recorded_bytes(tmp_path):
    recorded = json.loads(golden("store.json"))
    if h5py.version.hdf5_version != recorded["hdf5"]:
        pytest.skip(f"needs HDF5 {recorded['hdf5']}: other releases lay the same arrays out differently")
    assert store_bytes(make_store(tmp_path)) == recorded["bytes"]


def test_fingerprints_have_the_recorded_keys():
    recorded = json.loads(golden("store.json"))["keys"]
    assert fingerprint_keys() == recorded and len(set(recorded.values())) == len(recorded)


# The network.


def backbone() -> dict[str, Any]:
    """What a seeded ResNet-18 says of itself, and on which machine: random numbers depend on its vector unit."""
    network = Backbone("resnet18", "none", nodes=("layer3", "avgpool"), seed=0)
    prints = network.fingerprints()
    return {
        "torch": ".".join(torch.__version__.split(".")[:2]),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "recipe": network.recipe(),
        "widths": network.widths,
        "fingerprints": {node: found.to_json() for node, found in prints.items()},
        "keys": {node: found.key for node, found in prints.items()},
    }


def test_a_backbone_says_of_itself_what_was_recorded():
    found, recorded = backbone(), json.loads(golden("backbone.json"))
    if any(found[what] != recorded[what] for what in ("torch", "processor")):
        seeded = found["recipe"]["weights"]["sha256"]
        weights = recorded["recipe"]["weights"]["sha256"]
        found = json.loads(json.dumps(found).replace(seeded, weights)) | {
            what: recorded[what] for what in ("torch", "processor", "keys")
        }
    assert found == recorded


def test_a_backbones_features_have_the_recorded_keys():
    recorded = json.loads(golden("backbone.json"))
    prints = Backbone("resnet18", "none", nodes=("layer3", "avgpool"), seed=0).fingerprints()
    weights = recorded["recipe"]["weights"]["sha256"]
    keys = {node: dataclasses.replace(found, weights_sha256=weights).key for node, found in prints.items()}
    assert keys == recorded["keys"]


# Heads and bundles.


def fitted(name: str) -> tuple[Any, np.ndarray]:
    """A head fitted on digits, and its probabilities of those that it has not seen."""
    data = digits(240, classes=4, split=0.3)
    train = data.splits == "train"
    head = make_head(name, budget="quick", cv=3).fit(data.X[train], data.y[train])
    return head, head.predict_proba(data.X[~train])


def keep(name: str) -> None:
    """Write a bundle to be kept."""
    data = digits(90, classes=3)
    head = make_head(name, budget="quick", cv=3).fit(data.X, data.y)
    recipe = json.loads(golden("backbone.json"))["recipe"]
    save_bundle(kept(name), head, data, recipe, data.classes, name=name, summary={"dataset": "digits", "images": 90})


def kept(name: str) -> Path:
    return DATA / name if name == "bundle-format-1" else GOLDEN / "bundles" / name


@pytest.mark.parametrize("name", HEADS)
def test_a_head_learns_what_was_recorded(name):
    recorded = json.loads(golden("heads.json"))[name]
    head, proba = fitted(name)
    assert proba.argmax(axis=1).tolist() == recorded["predicted"]
    # A last digit of the linear algebra may move a tree's split, and with it a few images by hundredths.
    trees = name == "lightgbm"
    np.testing.assert_allclose(proba, recorded["proba"], rtol=0, atol=0.1 if trees else 2e-3)
    assert trees or rounded(head.best_params_) == recorded["params"]


@pytest.mark.parametrize("name", ["bundle-format-1", *HEADS])
def test_a_kept_bundle_predicts_what_was_recorded(name):
    recorded = json.loads(golden("bundles.json"))[name]
    bundle = load_bundle(kept(name))
    assert {"head": bundle.name, "classes": list(bundle.classes), "key": bundle.fingerprint.key} == recorded["about"]
    np.testing.assert_allclose(bundle.predict_proba(digits(60, classes=3)), recorded["proba"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bundle-format-1", "logistic", "svm", "centroid", "knn"])  # LightGBM drops comments
def test_a_kept_bundle_is_saved_again_in_the_same_bytes(name, tmp_path):
    found = load_bundle(kept(name))
    save_bundle(
        tmp_path / "b", found.head, found.fingerprint, found.recipe, found.classes, name=found.name,
        summary=found.summary,
    )  # fmt: skip
    assert (tmp_path / "b").read_bytes() == kept(name).read_bytes()


def record() -> None:
    """Write all of `tests/data/golden`; bundles that are there are kept."""
    for folder in ("report", "help", "bundles"):
        (GOLDEN / folder).mkdir(parents=True, exist_ok=True)

    def write(name: str, text: str) -> None:
        (GOLDEN / name).write_text(text, encoding="utf-8")

    for name in EXAMPLES:
        data = example(name)
        for kind in RENDERINGS:
            with tempfile.TemporaryDirectory() as folder:
                write(f"report/{name}.{kind}", rendered(data, kind, Path(folder)))
    for verb in ("featstore", *VERBS):
        write(f"help/{verb}.txt", help_of(verb))
    with tempfile.TemporaryDirectory() as folder:
        path = make_store(Path(folder))
        store = {"bytes": store_bytes(path), "contents": store_contents(path), "keys": fingerprint_keys()}
        write("store.json", pretty({"hdf5": h5py.version.hdf5_version, **store}))
    write("backbone.json", pretty(backbone()))
    heads, bundles = {}, {}
    for name in HEADS:
        head, proba = fitted(name)
        predicted = proba.argmax(axis=1).tolist()
        heads[name] = {"params": rounded(head.best_params_), "predicted": predicted, "proba": proba.round(3).tolist()}
    for name in ("bundle-format-1", *HEADS):
        if not kept(name).exists():
            keep(name)
        bundle = load_bundle(kept(name))
        about = {"head": bundle.name, "classes": bundle.classes, "key": bundle.fingerprint.key}
        bundles[name] = {"about": about, "proba": bundle.predict_proba(digits(60, classes=3)).round(9).tolist()}
    write("heads.json", pretty(heads))
    write("bundles.json", pretty(bundles))


if __name__ == "__main__":
    record()
