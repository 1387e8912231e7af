"""What all tests of commands share."""

import pytest


@pytest.fixture(autouse=True)
def no_line_of_progress_on_a_busy_machine(request, monkeypatch):
    """Tests compare all that a command says; how soon a line of progress comes is tested with the process."""
    if not request.module.__name__.endswith("test_process"):
        monkeypatch.setattr("featstore_scripts.process.FIRST", 600.0)
