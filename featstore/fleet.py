"""Fleet: one process a device, each with a share of the missing rows; the store joins what they compute."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from featstore import errors
from featstore.interpreter import anonymous_file, complaints, start
from featstore.reporting import Progress

WORTH = 2000
"""Images a device below which starting a process costs more than it brings."""


def run_fleet(devices: Sequence[str], request: Mapping[str, Any], progress: Progress) -> list[dict[str, Any]]:
    """Extract on several devices at once.

    Where one process fails the others finish their shares; what each has computed is committed.

    Parameters
    ----------
    devices : sequence of str
        At least one; a process for each.
    request : mapping
        Arguments of `featstore.extract.extract` beside device, share and progress; JSON-able.
    progress : callable
        Gets the sum of all processes.

    Returns
    -------
    list of dict
        What `Extraction.to_json` gives, for each device.

    Raises
    ------
    FeatstoreError
        Of the kind and with the sentence of the first process that failed, and its device.
    KeyboardInterrupt
        After every process has committed what it had.
    """
    members = []
    try:
        for number, device in enumerate(devices):
            members.append(_Member(device, {**request, "device": device, "share": [number, len(devices)]}))
        return _gather(members, progress)
    except BaseException:
        for member in members:
            member.interrupt()
        raise
    finally:
        for member in members:
            member.close()


class _Member:
    """A process that extracts on one device. What it says goes to a thread, for pipes hold little."""

    def __init__(self, device: str, request: Mapping[str, Any]) -> None:
        self.device = device
        self._complaints = anonymous_file()
        self._process = start(
            "featstore.fleet:serve",
            request,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,  # Ctrl-C reaches it once, from here
        )

    def listen(self, said: SimpleQueue[tuple[_Member, dict[str, Any] | None]]) -> None:
        """Put every message into the queue, and None when it has ended."""

        def follow() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):
                    said.put((self, json.loads(line)))
            said.put((self, None))

        threading.Thread(target=follow, daemon=True, name="featstore-fleet").start()

    def interrupt(self) -> None:
        """Ask it to commit what it has and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> str:
        """Wait for its end and tell it."""
        status = self._process.wait()
        said = complaints(self._complaints)
        return f"its process ended with status {status}" + (f" ({said})" if said else "")

    def close(self) -> None:
        """Wait for its end."""
        self._process.wait()
        os.close(self._complaints)


def _gather(members: Sequence[_Member], progress: Progress) -> list[dict[str, Any]]:
    said: SimpleQueue[tuple[_Member, dict[str, Any] | None]] = SimpleQueue()
    for member in members:
        member.listen(said)
    done: dict[_Member, tuple[int, int]] = {}
    results: dict[_Member, dict[str, Any]] = {}
    failure: errors.FeatstoreError | None = None
    running = len(members)
    while running:
        member, message = said.get()
        if message is None:
            running -= 1
            if member not in results and failure is None:
                failure = errors.DeviceError(f"{member.device}: {member.wait()}")
        elif "progress" in message:
            stage, count, total, note = message["progress"]
            if stage == "extract":
                done[member] = (count, total)
                counts, totals = zip(*done.values(), strict=True)
                progress(stage, sum(counts), sum(totals), f"{len(members)} devices, {note}")
        elif "failed" in message:
            failure = failure or errors.recreated(message["kind"], f"{member.device}: {message['failed']}")
            results[member] = {}
        else:
            results[member] = message["done"]
    if failure is not None:
        raise failure
    return [results[member] for member in members]


def serve(request: dict[str, Any]) -> None:
    """Called in a member's process: extract, say what happened."""
    from featstore.extract import extract

    share = tuple(request.pop("share"))

    def say(message: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()  # a parent that is gone ends this run here

    try:
        result = extract(share=share, progress=lambda *now: say({"progress": now}), **request)
        say({"done": result.to_json()})
    except errors.FeatstoreError as error:
        say({"failed": str(error), "kind": type(error).__name__})
        sys.exit(1)
    except KeyboardInterrupt:
        os._exit(130)
