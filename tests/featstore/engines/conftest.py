"""Every test of the engines has a cache folder of its own: choices that were measured are kept there."""

import pytest

from tests.support.engine_example import own_cache  # noqa: F401 - a fixture


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'featstore[openvino]'")
