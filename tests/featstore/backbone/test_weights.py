import hashlib
import io
import os
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from featstore.backbone import weights as module
from featstore.backbone.architecture import random_state_dict
from featstore.backbone.catalogue import lookup
from featstore.backbone.weights import load_weights, state_dict_sha256
from featstore.backbone.weights_file import TUNED_MARK
from featstore.errors import UnknownNameError, WeightsError, WeightsNotFoundError

SMALL = "mobilenet_v3_small"


@pytest.fixture(autouse=True)
def hub(monkeypatch, tmp_path):
    """An empty download folder, and no way out to the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(module, "url_of", lambda backbone, name: f"http://127.0.0.1:9/{lookup(backbone).files[name]}")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def state():
    return random_state_dict(SMALL, 3)


def test_digest_is_sha256_over_name_dtype_shape_and_bytes():
    state = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(7)}
    expected = hashlib.sha256(
        b"a\0int64\0[]\0" + struct.pack("<q", 7) + b"b\0float32\0[1, 2]\0" + np.array([1, 2], "<f4").tobytes()
    ).hexdigest()
    assert state_dict_sha256(state) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.zeros(4, dtype=torch.int32), "b": torch.ones(2)},
        {"a": torch.zeros(4), "b": torch.tensor([1.0, 1.0000001])},
    ],
)
def test_digest_changes_with_every_part(changed):
    assert state_dict_sha256(changed) != state_dict_sha256({"a": torch.zeros(4), "b": torch.ones(2)})


def test_digest_knows_neither_order_nor_memory_layout():
    x = torch.arange(6.0).reshape(2, 3)
    assert state_dict_sha256({"a": x, "b": x.T.contiguous().T}) == state_dict_sha256({"b": x, "a": x})


def test_none_is_seeded_random_and_says_so():
    found = load_weights(SMALL, "none", seed=3)
    assert (found.label, found.kind, found.seed, found.path) == ("random (seed 3)", "random", 3, None)
    assert found.sha256 == load_weights(SMALL, "none", seed=3).sha256 != load_weights(SMALL, "none", seed=4).sha256
    assert len(found.sha256) == 64


def test_file_has_the_hash_of_its_tensors_not_of_its_bytes(tmp_path, state):
    torch.save(state, tmp_path / "x.pth")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 1}, tmp_path / "y.pth")
    x, y = load_weights(SMALL, tmp_path / "x.pth"), load_weights(SMALL, str(tmp_path / "y.pth"))
    assert x.sha256 == y.sha256 == state_dict_sha256(state)
    assert (x.label, x.kind, x.path) == ("file x.pth", "file", tmp_path / "x.pth")


def test_what_finetune_wrote_is_known_by_its_mark_not_by_its_name(tmp_path, state):
    plain, marked = tmp_path / "tuned.weights.safetensors", tmp_path / "other.safetensors"
    save_file(state, plain)
    save_file(state, marked, metadata={TUNED_MARK: "{}"})
    assert load_weights(SMALL, plain).label == "file tuned.weights.safetensors"
    assert load_weights(SMALL, marked).label == "fine-tuned other.safetensors"
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(WeightsError, match="is no file"):  # and not opened, which would wait for a writer
        load_weights(SMALL, tmp_path / "pipe.safetensors")


def test_auto_takes_the_default_from_the_download_folder(monkeypatch, hub, state):
    expected = put(monkeypatch, hub, state)
    found = load_weights(SMALL)
    assert (found.label, found.name, found.kind) == ("IMAGENET1K_V1", "IMAGENET1K_V1", "name")
    assert found.path == expected
    assert found.sha256 == state_dict_sha256(state)


def test_name_takes_that_member(hub, monkeypatch, state):
    put(monkeypatch, hub, state)
    assert load_weights(SMALL, "IMAGENET1K_V1").label == "IMAGENET1K_V1"


def test_damaged_file_in_the_download_folder_is_noticed_and_left(hub):
    hub.mkdir(parents=True)
    path = hub / "mobilenet_v3_small-047dcff4.pth"
    path.write_bytes(b"half a download")
    with pytest.raises(WeightsError, match="its name promises 047dcff4: it is truncated or changed; delete it"):
        load_weights(SMALL)
    assert path.read_bytes() == b"half a download"


def test_neither_here_nor_reachable_is_one_sentence_with_two_ways_out(hub):
    with pytest.raises(WeightsNotFoundError) as caught:
        load_weights("resnet18")
    message = str(caught.value)
    assert message.startswith("resnet18-f37072fd.pth (the weights IMAGENET1K_V1 of resnet18) is not in ")
    assert str(hub) in message and "refused" in message and "\n" not in message
    assert message.endswith('file with `weights="FILE"`, or take seeded random weights with `weights="none"`')
    assert isinstance(caught.value, FileNotFoundError)


def test_download_is_kept_and_checked(monkeypatch, hub, server, state):
    from tests.support import download_server

    buffer = io.BytesIO()
    torch.save(state, buffer)
    monkeypatch.setattr(download_server, "BODY", buffer.getvalue())
    file = f"w-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    monkeypatch.setitem(lookup(SMALL).files, "IMAGENET1K_V1", file)
    monkeypatch.setattr(module, "url_of", lambda *_: f"{server}/good")
    seen = []
    assert load_weights(SMALL, progress=lambda *call: seen.append(call)).sha256 == state_dict_sha256(state)
    assert (hub / file).read_bytes() == buffer.getvalue()
    assert seen[-1] == (len(buffer.getvalue()),) * 2
    monkeypatch.setattr(module, "url_of", lambda *_: pytest.fail("downloaded again"))
    assert load_weights(SMALL).sha256 == state_dict_sha256(state)


@pytest.mark.parametrize(("page", "match"), [("missing", "404"), ("silent", "timed out"), ("truncated", "broke after")])
def test_failed_download_is_weights_not_found(monkeypatch, hub, server, page, match):
    monkeypatch.setattr(module, "url_of", lambda *_: f"{server}/{page}")
    with pytest.raises(WeightsNotFoundError, match=match):
        load_weights(SMALL, timeout=0.3)
    assert not list(hub.iterdir())


def test_download_of_other_bytes_is_refused(monkeypatch, hub, server):
    monkeypatch.setattr(module, "url_of", lambda *_: f"{server}/good")
    with pytest.raises(WeightsError, match="the name promises 047dcff4"):
        load_weights(SMALL)
    assert not list(hub.iterdir())


def test_url_is_torchvisions():
    member = models.ResNet50_Weights.IMAGENET1K_V1
    assert URL_OF("resnet50", "IMAGENET1K_V1") == member.url


def test_unknown_name_offers_the_known_ones():
    with pytest.raises(
        UnknownNameError, match="unknown weights of resnet50 'IMAGENET1K_V3'; close matches: IMAGENET1K_V2"
    ):
        load_weights("resnet50", "IMAGENET1K_V3")


@pytest.mark.parametrize("name", ["there.pth", "no/such/place", "x.safetensors"])
def test_missing_file(name):
    with pytest.raises(WeightsNotFoundError, match="does not exist"):
        load_weights(SMALL, name)


def test_real_weights(shared_weights):
    found = load_weights("mobilenet_v2", shared_weights)
    reference = models.mobilenet_v2()
    reference.load_state_dict(torch.load(shared_weights, weights_only=True))
    assert found.sha256 == state_dict_sha256(reference.state_dict())
    assert found.head.classes == 1000 and found.note == ""


def test_url_is_downloaded_and_says_its_hash(monkeypatch, tmp_path, server, state):
    from tests.support import download_server

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    buffer = io.BytesIO()
    torch.save({"state_dict": {f"net.{key}": value for key, value in state.items()}}, buffer)
    monkeypatch.setattr(download_server, "BODY", buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    found = load_weights(SMALL, f"{server}/tuned.pth")
    assert (found.label, found.kind, found.url) == ("file tuned.pth", "file", f"{server}/tuned.pth")
    assert found.sha256 == state_dict_sha256(state) and found.path.read_bytes() == buffer.getvalue()
    assert found.note == f"{server}/tuned.pth has the SHA-256 {digest}" and found.note in found.record
    promised = load_weights(SMALL, f"{server}/tuned.pth#sha256={digest[:12]}")
    assert promised.note == "" and digest in promised.record and promised.path == found.path
    with pytest.raises(WeightsNotFoundError, match="is promised; nothing was kept"):
        load_weights(SMALL, f"{server}/tuned.pth#sha256={'0' * 64}")
    with pytest.raises(WeightsNotFoundError, match="404 Not Found; check the address"):
        load_weights(SMALL, f"{server}/missing")
    with pytest.raises(WeightsNotFoundError, match="is an address of ftp; expected one that begins with https"):
        load_weights(SMALL, "ftp://example.org/tuned.pth")


def put(monkeypatch, hub, state):
    """Lay the state in the download folder under a name with the right hash."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file = f"w-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    hub.mkdir(parents=True)
    (hub / file).write_bytes(buffer.getvalue())
    monkeypatch.setitem(lookup(SMALL).files, "IMAGENET1K_V1", file)
    return hub / file


URL_OF = module.url_of


def test_counters_that_a_file_lacks_are_told(tmp_path, state):
    bare = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(bare, tmp_path / "w.pth")
    found = load_weights(SMALL, tmp_path / "w.pth")
    zeros = {k: torch.zeros_like(v) if k.endswith("num_batches_tracked") else v for k, v in state.items()}
    assert found.sha256 == state_dict_sha256(zeros)
    assert found.note == found.record
    assert found.note == (
        "w.pth: 34 counters num_batches_tracked of BatchNorm are missing and taken as 0: the features are those of a "
        "file with them, but are kept under another key"
    )
