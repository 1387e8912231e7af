"""The parts of the device's process that need no device; as a whole it is tested in test_devicepool."""

import threading
from concurrent.futures import Future
from queue import SimpleQueue

from featstore.decoding import nvjpeg_worker
from featstore.decoding.nvjpeg_worker import _ByteBudget, _File, _gathered


def settled(number):
    future = Future()
    future.set_result(_File(number, 0, 1))
    return future


def test_files_that_are_there_come_together_and_no_more_than_may_be(monkeypatch):
    monkeypatch.setattr(nvjpeg_worker, "MAX_BATCH", 3)
    files = SimpleQueue()
    for number in range(5):
        files.put(settled(number))
    files.put(None)
    groups = [[file.number for file in _gathered(files)] for _ in range(3)]
    assert groups == [[0, 1, 2], [3, 4], []]


def test_the_room_is_taken_in_order_and_a_file_larger_than_it_gets_it_alone():
    room, entered = _ByteBudget(100), []

    def feed():
        for size in (60, 60, 250, 10):
            room.take(size)
            entered.append(size)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    for size, there in ((60, [60]), (60, [60, 60]), (250, [60, 60, 250]), (10, [60, 60, 250, 10])):
        thread.join(0.2)
        assert entered == there  # nobody who waits is passed by a smaller one
        room.give(size)
    thread.join(5)
    assert not thread.is_alive()
