"""The measured choice of an engine: what is measured, what wins, and what is remembered for whom."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from featstore.engines import autotune
from featstore.engines.autotune import load_choice, measure, pick, save_choice
from featstore.engines.factory import make_engine
from featstore.system.user_cache import cache_folder, entry_path
from tests.support.engine_example import example

pytestmark = pytest.mark.usefixtures("one_thread")

IDENTITY = {"cpu": "a machine", "nodes": ("avgpool", "layer3"), "threads": 2}
NAMES = ["eager", "openvino/1"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return example(tmp_path_factory.mktemp("weights"))


def test_measurement_decides_once_and_is_remembered(backbone, openvino, monkeypatch):
    calls = []

    def measure(runners, side):
        calls.append(sorted(runners))
        return {name: 5.0 if name == "eager" else 1.0 for name in runners}

    monkeypatch.setattr(autotune, "measure", measure)
    for rows, expected in ((10, "openvino"), (10_000, "eager"), (10_000, "eager"), (10, "eager")):
        engine = make_engine(backbone, device="cpu", expected_rows=rows)
        assert engine.provenance["engine"] == expected
        engine.close()
    assert calls == [["eager", "openvino/1", "openvino/8"]]


@pytest.mark.parametrize("damage", [b"{", b"[" * 100_000])
def test_damaged_calibration_is_measured_again(backbone, openvino, monkeypatch, own_cache, damage):
    monkeypatch.setattr(autotune, "measure", lambda runners, side: {n: float(n == "eager") for n in runners})
    make_engine(backbone, device="cpu", expected_rows=10_000).prepare()
    (path,) = (own_cache / "calibration").iterdir()
    path.write_bytes(damage)
    monkeypatch.setattr(autotune, "measure", lambda runners, side: {n: float(n == "openvino/1") for n in runners})
    engine = make_engine(backbone, device="cpu", expected_rows=10_000)
    assert engine.provenance["engine"] == "openvino"
    engine.close()


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what runners take; it writes down (name, images) of each batch."""
    clock = SimpleNamespace(now=0.0, batches=[])
    monkeypatch.setattr(autotune, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


class TimedRunner:
    """Takes so many seconds an image; `stalls` are seconds that its batches take besides, the first ones first.

    Of more images at a time than `room` it runs out of memory.
    """

    def __init__(self, clock, name, an_image, batch_size=4, stalls=(), room=10_000):
        self.clock, self.name, self.an_image, self.batch_size = clock, name, an_image, batch_size
        self.stalls, self.room = list(stalls), room

    def submit(self, images):
        assert images.dtype == np.uint8
        if len(images) > self.room:
            raise MemoryError
        self.clock.batches.append((self.name, images.shape))
        self.clock.now += self.an_image * len(images) + (self.stalls.pop(0) if self.stalls else 0.0)
        return SimpleNamespace(result=lambda: [np.zeros((len(images), 1), np.float32)])

    def resize(self, batch_size):
        self.batch_size = batch_size


def test_rates_are_images_a_second(clock):
    runners = {"a": TimedRunner(clock, "a", 1 / 100, batch_size=8), "b": TimedRunner(clock, "b", 1 / 80)}
    assert measure(runners, 16) == pytest.approx({"a": 100, "b": 80})
    assert {shape for name, shape in clock.batches if name == "a"} == {(8, 16, 16, 3)}
    assert {shape for name, shape in clock.batches if name == "b"} == {(4, 16, 16, 3)}


def test_those_in_the_race_run_three_rounds_in_turn_of_about_the_time_given(clock):
    runners = {"a": TimedRunner(clock, "a", 1 / 100), "b": TimedRunner(clock, "b", 1 / 80)}
    measure(runners, 8, seconds=0.38)
    order = [name for name, _ in clock.batches]
    # 38 images at 100 a second are ten batches of four, 30.4 at 80 a second are eight
    assert order == ["a", "b"] + 3 * (["a"] * 10 + ["b"] * 8)


def test_the_hopeless_are_measured_once_and_nobody_runs_alone(clock):
    runners = {"fast": TimedRunner(clock, "fast", 1 / 100), "slow": TimedRunner(clock, "slow", 1 / 49)}
    assert measure(runners, 8) == pytest.approx({"fast": 100, "slow": 49})
    assert [name for name, _ in clock.batches] == ["fast", "slow"]


def test_the_best_round_counts(clock):
    busy = TimedRunner(clock, "busy", 1 / 100, stalls=[0.03, 0.0, 0.5, 0.5])
    rates = measure({"busy": busy, "calm": TimedRunner(clock, "calm", 1 / 80)}, 8, seconds=0.01)
    assert rates == pytest.approx({"busy": 100, "calm": 80})


def test_no_more_images_are_measured_together_than_show_a_rate(clock):
    measure({"large": TimedRunner(clock, "large", 1e-3, batch_size=1000)}, 2)
    assert clock.batches == [("large", (256, 2, 2, 3))]


def test_a_runner_whose_batch_does_not_fit_in_memory_is_measured_on_smaller_ones(clock):
    runner = TimedRunner(clock, "tight", 1 / 50, batch_size=8, room=3)
    assert measure({"tight": runner}, 8) == pytest.approx({"tight": 50})
    assert runner.batch_size == 2 and [shape[0] for _, shape in clock.batches] == [2, 2, 2, 2]


@pytest.mark.parametrize(("rate", "chosen"), [(90, "usual"), (110, "usual"), (111, "other"), (1000, "other")])
def test_the_usual_stays_unless_another_is_a_tenth_faster(rate, chosen):
    assert pick({"usual": 100.0, "other": float(rate)}, "usual") == chosen


@given(st.dictionaries(st.text(max_size=3), st.floats(1e-3, 1e6), min_size=1), st.data())
def test_of_any_rates_the_highest_wins_or_the_usual_one_that_is_about_as_high(rates, data):
    usual = data.draw(st.sampled_from(sorted(rates)))
    chosen = pick(rates, usual)
    if chosen == usual:
        assert max(rates.values()) <= 1.1 * rates[usual]
    else:
        assert rates[chosen] == max(rates.values()) > 1.1 * rates[usual]


def test_a_choice_is_found_for_the_same_identity_only():
    save_choice(IDENTITY, "eager", {"eager": 2.0, "openvino/1": 1.0})
    assert load_choice(IDENTITY, NAMES) == "eager"
    assert load_choice({**dict(reversed(IDENTITY.items())), "nodes": ["avgpool", "layer3"]}, NAMES) == "eager"
    assert load_choice({**IDENTITY, "threads": 3}, NAMES) is None
    assert load_choice(IDENTITY, ["openvino/1"]) is None  # an engine that is gone


def test_a_later_choice_takes_the_place_of_an_earlier_one():
    for name in ("eager", "openvino/1"):
        save_choice(IDENTITY, name, {name: 1.0})
    assert load_choice(IDENTITY, NAMES) == "openvino/1"


def test_an_entry_says_what_was_measured_and_for_whom():
    save_choice(IDENTITY, "eager", {"eager": 2.5, "openvino/1": 1.0})
    (path,) = (cache_folder() / "calibration").iterdir()
    told = json.loads(path.read_bytes())
    assert len(told.pop("seal")) == 64  # the hash of the rest
    assert told == {
        "format": 1,
        "identity": {"cpu": "a machine", "nodes": ["avgpool", "layer3"], "threads": 2},
        "choice": "eager",
        "images_per_second": {"eager": 2.5, "openvino/1": 1.0},
    }


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"identity": {}}, {"choice": "compile"}, {"choice": ["eager"]}, {"choice": None}]
)
def test_an_entry_of_another_kind_counts_as_none(change):
    save_choice(IDENTITY, "eager", {"eager": 1.0})
    path = entry_path("calibration", IDENTITY)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    assert load_choice(IDENTITY, NAMES) is None


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_damage_counts_as_none(content):
    path = entry_path("calibration", IDENTITY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert load_choice(IDENTITY, NAMES) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"null", b"\xff", b"{}"])
def test_an_entry_that_cannot_be_read_counts_as_none(content):
    save_choice(IDENTITY, "eager", {"eager": 1.0})
    entry_path("calibration", IDENTITY).write_bytes(content)
    assert load_choice(IDENTITY, NAMES) is None


def test_a_cache_that_cannot_be_written_is_no_failure(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    save_choice(IDENTITY, "eager", {"eager": 1.0})
    assert load_choice(IDENTITY, NAMES) is None
