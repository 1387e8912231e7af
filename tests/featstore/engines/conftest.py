"""Every test of the engines has a cache folder of its own: choices that were measured are kept there."""

import pytest


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache folder that is empty and goes away."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "featstore"
