import subprocess
import sys

import pytest

from classifiers.streamed import memory_limit as module
from classifiers.streamed.memory_limit import free_memory, too_large


def test_features_are_streamed_where_heads_would_not_fit_beside_them():
    assert not too_large(250, 1000) and too_large(251, 1000)


@pytest.mark.skipif(sys.platform != "linux", reason="limits are read as Linux tells them")
def test_a_limit_of_the_process_counts():
    code = (
        "import resource; from classifiers.streamed.memory_limit import free_memory; whole = free_memory();"
        "resource.setrlimit(resource.RLIMIT_DATA, (800_000_000, -1)); print(whole > free_memory(), free_memory())"
    )
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert words[0] == "True" and 0 < int(words[1]) < 800_000_000


def test_nothing_known_is_no_limit(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: None)
    assert free_memory() is None
