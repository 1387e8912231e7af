"""The command export, as a user runs it."""

import json

import numpy as np
import pytest

from featstore import FeatureStore
from featstore_scripts import options
from featstore_scripts.export import export
from tests.support.store_inputs import PROVENANCE, fingerprint, images, rows

NAMES = [f"i{i:02d}" for i in range(8)]


def run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        options.run(export, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out, output.err


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = FeatureStore(tmp_path_factory.mktemp("export") / "s", create=True)
    store.put_imageset(images(NAMES))
    store.commit(fingerprint(), rows(NAMES), PROVENANCE)
    store.commit(fingerprint(node="layer3"), rows(NAMES, dim=5), PROVENANCE)
    return store.path


def test_the_ending_names_the_format(store, tmp_path, capsys):
    status, out, _ = run([store, "-o", tmp_path / "x.npz", "--node", "avgpool"], capsys)
    assert status == 0 and out.strip() == str(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["X"], rows(NAMES).X)
    status, out, _ = run([store, "-o", tmp_path / "folder", "--node", "layer3", "--json"], capsys)
    document = json.loads(out)
    assert (document["format"], document["rows"], document["dim"]) == (1, 8, 5)
    assert np.load(tmp_path / "folder" / "features.npy").shape == (8, 5)
    assert run([store, "-o", tmp_path / "x.data", "--format", "csv", "--node", "layer3"], capsys)[0] == 0
    assert (tmp_path / "x.data").read_text().startswith("path,label,split,f0,f1")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["-o", "x.parquet", "--node", "avgpool"], 2, "no format is known by the ending 'parquet'"),
        (["-o", "x.npz", "--node", "avgpool", "--node", "layer3"], 2, "name one --node"),
        (["-o", "x.npz"], 1, "--node avgpool"),
        (["-o", "x.npz", "--node", "layer9"], 1, "no features with --node layer9"),
    ],
)
def test_bad_input_is_one_sentence(store, tmp_path, monkeypatch, capsys, arguments, status, sentence):
    monkeypatch.chdir(tmp_path)
    found, out, err = run([store, *arguments], capsys)
    assert found == status and sentence in err and out == "" and list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_being_told(store, tmp_path, capsys):
    (tmp_path / "x.npz").write_text("mine")
    status, _, err = run([store, "-o", tmp_path / "x.npz", "--node", "avgpool"], capsys)
    assert status == 1 and "exists already" in err and (tmp_path / "x.npz").read_text() == "mine"
    assert run([store, "-o", tmp_path / "x.npz", "--node", "avgpool", "--overwrite"], capsys)[0] == 0


def test_rounded_features_are_chosen_by_their_type_and_say_so(store, tmp_path, capsys):
    half = fingerprint(store_dtype="fp16")
    FeatureStore(store).commit(half, rows(NAMES), PROVENANCE)
    status, _, err = run([store, "-o", tmp_path / "x.npz", "--node", "avgpool"], capsys)
    assert status == 1 and "--store-dtype fp16" in err
    assert run([store, "-o", tmp_path / "x", "--node", "avgpool", "--store-dtype", "fp16"], capsys)[0] == 0
    X = np.load(tmp_path / "x" / "features.npy")
    assert X.dtype == np.float32 and np.array_equal(X, rows(NAMES).X.astype(np.float16))
    assert json.loads((tmp_path / "x" / "fingerprint.json").read_text())["store_dtype"] == "fp16"
