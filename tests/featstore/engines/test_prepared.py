"""What an engine prepared, on disk: found again whole, or dropped with the reason."""

import json
import os

import numpy as np
import pytest

from featstore.engines import prepared
from featstore.engines.prepared import KIND, PreparedEngine, PreparedModel, PreparedPlace
from featstore.system.user_cache import entry_path, read_entry, write_entry
from tests.support.store_inputs import fingerprint

pytest.importorskip("openvino", reason="its version is asked for: pip install 'featstore[openvino]'")

SETTINGS = {"engine": "auto", "threads": None}


def made(weights=1001, measured=True):
    rng = np.random.default_rng(0)
    model = PreparedModel(b"<net>\n</net>", rng.integers(0, 256, weights, np.uint8), 8, (3, 2), {"float32_layers": 3})
    return PreparedEngine(model, "cpu some", measured, rng.normal(size=5).astype(np.float32))


@pytest.fixture
def place():
    place = PreparedPlace([fingerprint()], SETTINGS)
    assert place.save(made()) == ""
    return place


def changed(place, **fields):
    """The entry with other fields, sealed as it should be."""
    entry, _ = read_entry(place.path)
    document = {key: value for key, value in {**entry.document, **fields}.items() if value is not None}
    write_entry(place.path, document, [entry.body])


def test_it_comes_back_as_it_was(place, own_cache):
    found, reason = PreparedPlace([fingerprint()], SETTINGS).load()
    kept = made()
    assert reason == "" and place.path.parent == own_cache / KIND
    assert found.model.description == kept.model.description and np.array_equal(found.model.weights, kept.model.weights)
    assert (found.model.request, found.model.widths, found.model.provenance) == (8, (3, 2), {"float32_layers": 3})
    assert (found.device, found.measured) == ("cpu some", True)
    assert found.check.dtype == np.float32 and np.array_equal(found.check, kept.check)


@pytest.mark.parametrize(
    "other",
    [
        ([fingerprint(weights_sha256="f" * 64)], SETTINGS),
        ([fingerprint(node="layer1")], SETTINGS),
        ([fingerprint(), fingerprint(node="layer1")], SETTINGS),
        ([fingerprint(precision="bf16")], SETTINGS),
        ([fingerprint()], {**SETTINGS, "threads": 1}),
        ([fingerprint()], {**SETTINGS, "engine": "openvino"}),
    ],
)
def test_other_networks_and_settings_have_a_place_of_their_own(place, other):
    assert PreparedPlace(*other).load() == (None, "")
    assert place.load()[0] is not None


def test_so_has_another_machine(place, monkeypatch):
    mine = prepared.cpu_identity()
    for other in ({**mine, "model": "another"}, {**mine, "cores": mine["cores"] + 1}, {**mine, "limits": {"A": "b"}}):
        monkeypatch.setattr(prepared, "cpu_identity", lambda other=other: other)
        assert PreparedPlace([fingerprint()], SETTINGS).load() == (None, "")


@pytest.mark.parametrize("library", ["openvino", "torch", "torchvision", "numpy", "featstore"])
def test_other_versions_are_outdated(place, monkeypatch, library):
    monkeypatch.setattr(prepared, "version", lambda name: "99.0" if name == library else real(name))
    found, reason = place.load()
    assert found is None and not place.path.exists()
    assert reason == (
        f"what an earlier start prepared in {place.path} is not used: it was made with {library} {real(library)}, and "
        "99.0 is installed"
    )


def real(name):
    from importlib.metadata import version

    return version(name)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"format": 99}, "it has the format 99, expected 1"),
        ({"identity": {"nodes": []}}, "it is that of another network, machine or engine"),
        ({"request": None}, r"its parts do not fit together \(KeyError\)"),
        ({"widths": [3, 200_000]}, r"its parts do not fit together \(ValueError\)"),
        ({"versions": None}, r"its parts do not fit together \(KeyError\)"),
        ({"description_bytes": "1"}, r"its parts do not fit together \(TypeError\)"),
    ],
)
def test_what_does_not_fit_is_dropped(place, fields, why):
    changed(place, **fields)
    found, reason = place.load()
    assert found is None and not place.path.exists()
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(reason)


def test_a_changed_byte_is_dropped(place):
    data = bytearray(place.path.read_bytes())
    data[-1] ^= 1
    place.path.write_bytes(data)
    found, reason = place.load()
    assert found is None and "it is damaged: its bytes have another hash" in reason and not place.path.exists()


def test_what_others_can_write_is_dropped(place):
    place.path.chmod(0o666)
    found, reason = place.load()
    assert found is None and "other users may write to it" in reason and not place.path.exists()


def test_an_entry_moved_to_another_name_is_dropped(place):
    other = PreparedPlace([fingerprint(node="layer1")], SETTINGS)
    place.path.rename(other.path)
    assert other.load()[0] is None and not other.path.exists()


def test_all_together_are_bounded_and_use_counts(place, monkeypatch):
    size = place.path.stat().st_size
    monkeypatch.setattr(prepared, "MOST_BYTES", 3 * size - 20)
    os.utime(place.path, (1, 1))
    second = PreparedPlace([fingerprint(node="layer1")], SETTINGS)
    assert second.save(made()) == ""
    os.utime(second.path, (2, 2))
    assert place.load()[0] is not None  # used: now it is the younger one
    third = PreparedPlace([fingerprint(node="layer2")], SETTINGS)
    assert third.save(made()) == ""
    assert place.path.exists() and third.path.exists() and not second.path.exists()


def test_one_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(prepared, "MOST_BYTES", 4 << 20)
    place = PreparedPlace([fingerprint(node="layer3")], SETTINGS)
    assert place.save(made(weights=3 << 20)) == "it takes 3 MiB, and at most 2 are kept of one"
    assert not place.path.exists()


def test_a_folder_that_cannot_be_written_is_a_reason(own_cache):
    own_cache.parent.mkdir(parents=True, exist_ok=True)
    own_cache.write_text("a file")
    place = PreparedPlace([fingerprint()], SETTINGS)
    assert place.save(made()) == f"{own_cache / KIND} cannot be written"
    assert place.load()[0] is None


def test_entries_say_in_json_what_they_are_of(place):
    told = json.loads(place.path.read_bytes().split(b"\n")[0])
    assert told["identity"]["nodes"][0]["node"] == "avgpool" and told["versions"]["openvino"]
    assert place.path == entry_path(KIND, told["identity"], ".model")
