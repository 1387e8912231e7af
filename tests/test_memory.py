import pytest

from featstore import memory
from featstore.errors import FeaturesError


def test_what_is_available_is_less_than_the_machine_has():
    found = memory.available()
    assert found is None or 1e6 < found < 1e15


def test_what_does_not_fit_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 4_000_000_000)
    memory.require(3_000_000_000, "this", "do that")
    with pytest.raises(FeaturesError, match=r"this needs about 50.0 GB of memory, 4.0 GB are free; do that"):
        memory.require(50_000_000_000, "this", "do that")


def test_where_nothing_is_known_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require(10**18, "this", "do that")


def test_the_smaller_of_machine_and_container_counts(monkeypatch):
    monkeypatch.setattr(memory, "_meminfo", lambda: 8_000)
    monkeypatch.setattr(memory, "_cgroup", lambda: 5_000)
    assert memory.available() == 5_000
    monkeypatch.setattr(memory, "_cgroup", lambda: None)
    assert memory.available() == 8_000
