"""Processes that end are replaced; those that never start are one clear error."""

import os
import signal

import numpy as np
import pytest

from featstore.decoding.pool import DecodePool
from featstore.errors import FeatstoreError
from tests.support.pool_inputs import SPEC, reference, write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def test_processes_that_cannot_start_are_one_clear_error():
    pool = DecodePool(SPEC, workers=1, decoder="no_such_module:decode")
    with (
        pool,
        pytest.raises(
            FeatstoreError, match=r"3 in a row, the last one ended with status 1 \(.*no_such_module.*workers=0"
        ),
    ):
        list(pool.run([(b"/nowhere", bytes(32))]))


def test_stopped_worker_is_killed_after_a_grace_and_its_image_done_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("featstore.decoding.supervisor.GRACE_SECONDS", 0.3)
    items = write(tmp_path, 12)
    with DecodePool(SPEC, workers=1, batch_size=4, seconds_per_image=0.5) as pool:
        run = pool.run(items)
        parts = [next(run).images]
        os.kill(pool._supervisor.processes[0].pid, signal.SIGSTOP)
        parts += [batch.images for batch in run]
    np.testing.assert_array_equal(np.concatenate(parts), reference(items))
