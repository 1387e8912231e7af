"""Which heavy libraries each command may have loaded at the end of a real run: starting is most of a short command."""

import os
import subprocess
import sys

import numpy as np
import pytest

from classifiers.models.trained_head import train
from featstore import FeatureStore
from featstore.extract import extract
from featstore.store.format.rows import OK, Rows
from featstore_scripts.main import VERBS
from tests.house.imports import ROOT
from tests.support.pictures import write_tree
from tests.support.store_inputs import PROVENANCE, digests, fingerprint, images

HEAVY = {
    "IPython", "PIL", "dask", "h5py", "jinja2", "lightgbm", "matplotlib", "numba", "numpy", "onnx", "onnxruntime",
    "onnxscript", "openvino", "pandas", "pyarrow", "ray", "rich", "safetensors", "scipy", "scipy.stats", "sklearn",
    "sklearn.ensemble", "sklearn.manifold", "sympy", "tensorboard", "torch", "torchvision",
}  # fmt: skip
BRINGS = {
    "sklearn": {"scipy", "scipy.stats", "pandas"},  # at its own top, the last where it is installed
    "lightgbm": {"sklearn", "dask", "matplotlib", "pandas", "pyarrow"},  # all but the first where they are installed
    "torchvision": {"sympy", "torch"},
}
"""What a library imports by itself."""

STORE = {"h5py", "numpy"}
SHOWN = {*STORE, "rich"}
READ = {*SHOWN, "PIL"}
CHEAP_HEAD = {*READ, "scipy", "sklearn"}
REPORT = {"jinja2", "sklearn.manifold"}  # the page, and the map of the test images
NETWORK = {*READ, "safetensors", "torch", "torchvision"}
EAGER, QUICK = ("--engine", "eager", "-j", "0"), ("--budget", "quick", "--folds", "2", "-q")
SMALL = ("--backbone", "mobilenet_v3_small", "--weights", "none", "--input-size", "32")

# In the order in which they can be run: some leave what others take.
RUNS = {
    "--help": set(),
    "layouts": {"numpy"},
    "backbones": set(),
    "nodes resnet50 --input-size 64": set(),
    "info {store}": SHOWN,
    "verify {store}": SHOWN,
    "repair {store}": SHOWN,
    "compact {store}": SHOWN,
    "gc {store}": SHOWN,
    "export {store} -o {out}/features.npz": SHOWN,
    # Nothing is missing, so nothing is computed.
    "extract {images} -s {store} -q {SMALL} {EAGER}": READ,
    "extract {images} -s {out}/new -q {SMALL} {EAGER}": NETWORK,
    # The leak guard compares pixels by torch: here are no files to compare.
    "compare {planted} -o {out}/trees --heads knn,centroid,lightgbm {QUICK}": {*CHEAP_HEAD, *REPORT, "lightgbm"},
    "compare {planted} -o {out}/linear --heads logistic,svm,mlp {QUICK}": {*CHEAP_HEAD, *REPORT, "torch"},
    "train {planted} -o {out}/trees.bundle --head lightgbm {QUICK}": {*CHEAP_HEAD, "lightgbm"},
    "train {store} -o {out}/linear.bundle --head logistic {QUICK}": {*CHEAP_HEAD, "torch"},
    "predict {out}/linear.bundle {images} -q {EAGER}": NETWORK,
    "evaluate {out}/linear.bundle {images} -o {out}/judged -q {EAGER}": {*NETWORK, *REPORT, "scipy", "sklearn"},
    # The network tells the distance from ImageNet and the cost.
    "advise {store} -q -j 0 --device cpu": {*NETWORK, "scipy", "sklearn"},
    "finetune {store} {images} -o {out}/tuned.bundle --epochs 1 --regime 1 --budget quick -q --device cpu {EAGER}": {
        *NETWORK, "scipy", "sklearn",
    },
}  # fmt: skip

PROGRAM = """
import atexit, sys
atexit.register(lambda place=sys.argv.pop(1): open(place, "w").write("\\n".join(sys.modules)))
from featstore_scripts.main import cli
cli()
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("imports")
    write_tree(root / "images", each=8, splits=("train", "test"))
    network = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32}
    extract(root / "images", root / "store", engine="eager", workers=0, **network)
    names = [f"i{i:03d}" for i in range(60)]
    planted = FeatureStore(root / "planted", create=True)
    planted.put_imageset(images(names, splits=["train" if i % 3 else "test" for i in range(60)]))
    X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    X[:, 0] += 2.5 * (np.arange(60) % 2)
    planted.commit(fingerprint(), Rows(digests(names), X, np.full(60, OK, dtype=np.uint8), ("",) * 60), PROVENANCE)
    (root / "out").mkdir()
    return {name: root / name for name in ("images", "store", "planted", "out")}


# What an earlier start of the same network prepared is there: neither torch nor torchvision, whatever is computed.
WARM = {
    "extract {images} -s {out}/{store} {SMALL} -q -j 0 --engine openvino --device cpu": READ | {"openvino"},
    "predict {out}/warm.bundle {images} -q -j 0 --engine openvino --device cpu": READ | {"openvino"},
}


def test_every_command_is_run():
    """But for those that need the network's gradients, so torch and torchvision, and the one made of others."""
    assert {line.split()[0] for line in RUNS} - {"--help"} == set(VERBS) - {"demo", "activations", "ideal", "attack"}


def loaded(line, places, **environment):
    """Which heavy libraries a command has loaded, and what it said."""
    filled = {**places, "SMALL": " ".join(SMALL), "EAGER": " ".join(EAGER), "QUICK": " ".join(QUICK)}
    listed = places["out"] / "modules.txt"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(listed), *line.format(**filled).split()],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return HEAVY.intersection(listed.read_text().split()), done.stdout


@pytest.mark.parametrize("line", RUNS, ids=[line.split()[0] for line in RUNS])
def test_a_command_loads_only_what_it_uses(line, places):
    found, _ = loaded(line, places)
    allowed = set(RUNS[line])
    for library, brought in BRINGS.items():
        allowed |= brought if library in allowed else set()
    assert found - allowed == set()
    if "torch" in RUNS[line]:  # else the list would say nothing
        assert "torch" in found


@pytest.mark.parametrize("line", WARM, ids=[line.split()[0] for line in WARM])
def test_a_warm_start_loads_no_torch_and_says_the_same(line, places, tmp_path):
    pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")
    features = FeatureStore(places["store"]).read()
    train(features, "logistic", budget="quick", folds=2).save(places["out"] / "warm.bundle", overwrite=True)
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    cold, said = loaded(line, {**places, "store": "cold"}, **cache)
    warm, again = loaded(line, {**places, "store": "warm"}, **cache)
    assert "torch" in cold and warm - WARM[line] == set()
    if line.startswith("predict"):
        assert said == again
    else:
        one, two = (FeatureStore(places["out"] / name).read().X for name in ("cold", "warm"))
        assert np.array_equal(one, two)
