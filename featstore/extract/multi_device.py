"""Several devices: a process for each, with a share of the missing rows; the store joins what they compute."""

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
from featstore.extract.pipeline import ExtractionPlan, PipelineResult
from featstore.system.interpreter import anonymous_file, complaints, start
from featstore.system.machine import usable_cores
from featstore.system.reporting import Progress


def extract_on_devices(
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
    processes = []
    try:
        for number, device in enumerate(devices):
            processes.append(
                _DeviceProcess(device, {**request, "device": device, "share": [number, len(devices)]}, target)
            )
        return _gather(processes, progress)
    except BaseException:
        for process in processes:
            process.interrupt()
        raise
    finally:
        for process in processes:
            process.close()


class _DeviceProcess:
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

    def listen(self, said: SimpleQueue[tuple[_DeviceProcess, dict[str, Any] | None]]) -> None:
        """Put every message into the queue, and None when it has ended."""

        def follow() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):
                    said.put((self, json.loads(line)))
            said.put((self, None))

        threading.Thread(target=follow, daemon=True, name="featstore-devices").start()

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


def _gather(processes: Sequence[_DeviceProcess], progress: Progress) -> list[dict[str, Any]]:
    said: SimpleQueue[tuple[_DeviceProcess, dict[str, Any] | None]] = SimpleQueue()
    for process in processes:
        process.listen(said)
    done: dict[_DeviceProcess, tuple[int, int]] = {}
    results: dict[_DeviceProcess, dict[str, Any]] = {}
    failure: errors.FeatstoreError | None = None
    running = len(processes)
    while running:
        process, message = said.get()
        if message is None:
            running -= 1
            if process not in results and failure is None:
                failure = errors.DeviceError(f"{process.device}: {process.wait()}")
        elif "progress" in message:
            stage, count, total, note = message["progress"]
            if stage == "extract":
                done[process] = (count, total)
                counts, totals = zip(*done.values(), strict=True)
                progress(stage, sum(counts), sum(totals), f"{len(processes)} devices, {note}")
        elif "failed" in message:
            failure = failure or errors.recreated(message["kind"], f"{process.device}: {message['failed']}")
            results[process] = {}
        else:
            results[process] = message["done"]
    if failure is not None:
        raise failure
    return [results[process] for process in processes]


def compute_on_devices(
    devices: Sequence[str], plan: ExtractionPlan, call: Mapping[str, Any], report: Progress, *, target: str
) -> PipelineResult:
    """Compute a plan's rows on several devices at once, a process each; the cores are shared out among their decoders.

    Parameters
    ----------
    call : mapping
        Arguments of `featstore.extract.extract`, JSON-able.
    target : str
        As for `extract_on_devices`.
    """
    workers = usable_cores() if call["workers"] is None else call["workers"]
    report("prepare", 0, 1, f"building the engines of {len(devices)} devices")
    began = time.perf_counter()
    each = workers and max(1, workers // len(devices))
    results = extract_on_devices(devices, {**call, "workers": each}, report, target=target)
    result = PipelineResult(preparation=max(r["preparation_seconds"] for r in results))
    result.seconds = max(1e-9, time.perf_counter() - began - result.preparation)
    result.waited = result.seconds * float(np.mean([r["waiting_for_data"] for r in results]))
    first: dict[str, Any] = next((r["provenance"] for r in results if r["provenance"]), {})
    result.provenance = {**first, "devices": list(devices)} if first else {}
    if note := result.provenance.get("engine_note"):
        result.notes.append(str(note))
    left = np.zeros_like(plan.wanted)
    for fingerprint in plan.fingerprints.values():
        left |= plan.store.missing(fingerprint, plan.images.digests)
    row_of = {plan.images.display(row): row for row in range(len(plan.images))} if any(map(_remarked, results)) else {}
    for remark in (remark for r in results for remark in _remarked(r)):
        if (row := row_of.get(remark["path"])) is not None:
            result.remarks[plan.images.digests[row].tobytes()] = remark["text"]
    result.changed = {plan.images.digests[row].tobytes() for row in np.flatnonzero(left & plan.wanted)}
    return result


def _remarked(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """The remarks in what one device's process said."""
    return list(result.get("remarks", []))
