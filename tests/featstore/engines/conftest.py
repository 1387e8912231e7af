"""Every test of the engines has a cache folder of its own: choices that were measured are kept there."""

from tests.support.engine_example import own_cache  # noqa: F401
