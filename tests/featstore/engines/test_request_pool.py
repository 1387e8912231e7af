import threading
import time

import numpy as np
import pytest

from featstore.engines.request_pool import RequestPool


def batch(count):
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1) * np.ones((1, 2, 2, 3), dtype=np.uint8)


def worker(seen=None, wait=0.0):
    busy = threading.Lock()

    def compute(images, outputs):
        assert busy.acquire(blocking=False), "one worker was called twice at the same time"
        time.sleep(wait)
        if seen is not None:
            seen.append(len(images))
        outputs[0][:] = images.mean((1, 2, 3))[:, None]
        outputs[1][:] = images[:, 0, 0, :2]
        busy.release()

    return compute


def test_rows_come_back_in_order_whatever_the_threads():
    pool = RequestPool([worker(wait=0.002 * i) for i in range(4)], 3, [1, 2])
    pending = [pool.submit(batch(n)) for n in (20, 1, 7)]
    for part, count in zip(pending, (20, 1, 7), strict=True):
        first, second = part.result()
        assert first.shape == (count, 1) and second.shape == (count, 2)
        assert first[:, 0].tolist() == list(range(count))
    pool.close()


def test_requests_have_at_most_the_size_asked_for():
    seen = []
    pool = RequestPool([worker(seen)], 3, [1, 2])
    pool.submit(batch(8)).result()
    pool.close()
    assert seen == [3, 3, 2]


def test_threads_work_at_the_same_time():
    together = threading.Barrier(3, timeout=5)

    def compute(images, outputs):
        together.wait()

    pool = RequestPool([compute] * 3, 1, [1])
    pool.submit(batch(3)).result()
    pool.close()


def test_failure_is_raised_after_all_requests_have_ended():
    ended = []

    def compute(images, outputs):
        if images[0, 0, 0, 0] == 2:
            raise MemoryError("no room")
        time.sleep(0.02)
        ended.append(1)

    pool = RequestPool([compute, compute], 1, [1])
    with pytest.raises(MemoryError, match="no room"):
        pool.submit(batch(6)).result()
    assert len(ended) == 5
    pool.submit(batch(2)).result()
    pool.close()


def test_every_thread_has_begun_before_the_first_request():
    begun = []
    pool = RequestPool([worker()] * 3, 1, [1, 2], begin=lambda: begun.append(threading.get_ident()))
    assert len(set(begun)) == 3
    pool.close()
