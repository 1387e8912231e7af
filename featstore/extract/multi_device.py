"""Fleet: one process a device, each with a share of the missing rows; the store joins what they compute."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from featstore import errors
from featstore.extract.pipeline import Plan, Work
from featstore.system.interpreter import anonymous_file, complaints, start
from featstore.system.machine import usable_cores
from featstore.system.reporting import Progress

WORTH = 2000
"""Images a device below which starting a process costs more than it brings."""


def run_fleet(
    devices: Sequence[str], request: Mapping[str, Any], progress: Progress, *, target: str
) -> list[dict[str, Any]]:
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
    target : str
        "module:function" that each process calls: `featstore.extract.job.SERVE`.

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
            members.append(_Member(device, {**request, "device": device, "share": [number, len(devices)]}, target))
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

    def __init__(self, device: str, request: Mapping[str, Any], target: str) -> None:
        self.device = device
        self._complaints = anonymous_file()
        self._process = start(
            target,
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


def compute_on(devices: Sequence[str], plan: Plan, call: Mapping[str, Any], report: Progress, *, target: str) -> Work:
    """Compute a plan's rows on several devices at once, a process each; the cores are shared out among their decoders.

    Parameters
    ----------
    call : mapping
        Arguments of `featstore.extract.extract`, JSON-able.
    target : str
        As for `run_fleet`.
    """
    workers = usable_cores() if call["workers"] is None else call["workers"]
    report("prepare", 0, 1, f"building the engines of {len(devices)} devices")
    began = time.perf_counter()
    each = workers and max(1, workers // len(devices))
    results = run_fleet(devices, {**call, "workers": each}, report, target=target)
    work = Work(preparation=max(result["preparation_seconds"] for result in results))
    work.seconds = max(1e-9, time.perf_counter() - began - work.preparation)
    work.waited = work.seconds * float(np.mean([result["waiting_for_data"] for result in results]))
    first: dict[str, Any] = next((result["provenance"] for result in results if result["provenance"]), {})
    work.provenance = {**first, "devices": list(devices)} if first else {}
    if note := work.provenance.get("engine_note"):
        work.notes.append(str(note))
    left = np.zeros_like(plan.wanted)
    for fingerprint in plan.fingerprints.values():
        left |= plan.store.missing(fingerprint, plan.images.digests)
    work.changed = {plan.images.digests[row].tobytes() for row in np.flatnonzero(left & plan.wanted)}
    return work
