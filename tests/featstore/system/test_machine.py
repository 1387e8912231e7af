import pytest

from featstore.errors import FeaturesError
from featstore.system import machine


def test_what_is_available_is_less_than_the_machine_has():
    found = machine.available_memory()
    assert found is None or 1e6 < found < 1e15


def test_what_does_not_fit_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 4_000_000_000)
    machine.require_memory(3_000_000_000, "this", "do that")
    with pytest.raises(FeaturesError, match=r"this needs about 50.0 GB of memory, 4.0 GB are free; do that"):
        machine.require_memory(50_000_000_000, "this", "do that")


def test_where_nothing_is_known_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: None)
    machine.require_memory(10**18, "this", "do that")


def test_the_smaller_of_machine_and_container_counts(monkeypatch):
    monkeypatch.setattr(machine, "_free_memory", lambda: 8_000)
    monkeypatch.setattr(machine, "memory_left", lambda: 5_000)
    assert machine.available_memory() == 5_000
    monkeypatch.setattr(machine, "memory_left", lambda: None)
    assert machine.available_memory() == 8_000
