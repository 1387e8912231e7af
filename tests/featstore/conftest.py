"""What tests of several rooms need."""

import pytest

from tests.support.download_server import serving


@pytest.fixture
def server():
    """Address of a server of downloads, see `tests.support.download_server`."""
    with serving() as address:
        yield address
