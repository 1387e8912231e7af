"""A store's life in any order: writers that die, fail or come second, readers, compaction, damage, repair.

The model is what was promised: which images have rows for certain, which may have, and which image set is the newest.
`pytest -m soak tests/promises/test_store_machine.py` tries more and longer lives; hypothesis prints the shortest one
that fails.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from featstore import FeatureStore
from featstore.errors import FeatstoreError, StoreError, StoreWriteError
from featstore.system import fsio
from tests.support.faulty_os import FaultyOs, Killed, ending, full_from
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows

NAMES = "abcdefghijkl"
FAILED = "g"
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True).map("".join)
moments = st.integers(1, 25)
KEY = fingerprint().key


class Life(RuleBasedStateMachine):
    """One store, two handles on it: each remembers what it saw last, as two processes would."""

    @initialize()
    def make(self):
        self.place = Path(tempfile.mkdtemp(prefix="featstore-life-"))
        self.path = self.place / "s"
        self.sure, self.possible = set(), set()
        self.images = {None}
        self.handles = [FeatureStore(self.path, create=True), FeatureStore(self.path)]

    def teardown(self):
        if hasattr(self, "place"):
            shutil.rmtree(self.place, ignore_errors=True)

    @contextlib.contextmanager
    def trouble(self, verdicts):
        """The disk as a rule has it; a writer that died is a new process afterwards."""
        disk, before = FaultyOs(verdicts), fsio.os
        fsio.os = disk
        try:
            yield
        except Killed:
            self.handles[0] = FeatureStore(self.path)
        except StoreWriteError as error:
            assert "run the same command again" in str(error)
        finally:
            fsio.os = before

    @rule(which=names, handle=st.sampled_from([0, 1]))
    def extract(self, which, handle):
        self.handles[handle].commit(fingerprint(), rows(which, failed=FAILED), PROVENANCE)
        self.sure |= set(which)
        self.possible |= set(which)

    @rule(which=names, moment=moments)
    def extract_and_die(self, which, moment):
        self.possible |= set(which)
        with self.trouble(ending(moment)):
            self.handles[0].commit(fingerprint(), rows(which, failed=FAILED), PROVENANCE)
            self.sure |= set(which)

    @rule(which=names, moment=moments)
    def extract_on_a_full_disk(self, which, moment):
        self.possible |= set(which)
        with self.trouble(full_from(moment)):
            self.handles[0].commit(fingerprint(), rows(which, failed=FAILED), PROVENANCE)
            self.sure |= set(which)

    @rule(which=names, handle=st.sampled_from([0, 1]))
    def list_images(self, which, handle):
        """Images are added to the set or left out of it."""
        self.handles[handle].put_imageset(images(which))
        self.images = {which}

    @rule(which=names, moment=moments)
    def list_images_and_die(self, which, moment):
        self.images |= {which}
        with self.trouble(ending(moment)):
            self.handles[0].put_imageset(images(which))
            self.images = {which}

    @rule(handle=st.sampled_from([0, 1]))
    def compact(self, handle):
        self.handles[handle].compact()

    @rule(moment=moments)
    def compact_and_die(self, moment):
        with self.trouble(ending(moment)):
            self.handles[0].compact()

    @rule(moment=st.integers(1, 60))
    def tidy_up_and_die(self, moment):
        with self.trouble(ending(moment)):
            self.handles[0].gc(grace_seconds=0.0)

    @rule()
    def tidy_up(self):
        self.handles[1].gc(grace_seconds=0.0)

    def files(self):
        return sorted(p for p in self.path.rglob("*") if p.is_file() and p.parent.name not in ("tmp", "quarantine"))

    @rule(which=st.integers(0, 1 << 16), at=st.floats(0, 1), bit=st.integers(0, 7))
    def flip_a_bit(self, which, at, bit):
        """Errors or the same data while it is damaged; afterwards the byte is as before."""
        files = self.files()
        victim = files[which % len(files)]
        data = victim.read_bytes()
        if data:
            place = min(int(at * len(data)), len(data) - 1)
            victim.write_bytes(data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :])
            with contextlib.suppress(FeatstoreError):
                self.look(FeatureStore(self.path), damaged=True)
            victim.write_bytes(data)

    @precondition(lambda self: self.sure)
    @rule(which=st.integers(0, 1 << 16), at=st.floats(0, 1))
    def damage_and_repair(self, which, at):
        """What repair cannot save is computed again; nothing that is left is other data."""
        files = self.files()
        victim = files[which % len(files)]
        data = victim.read_bytes()
        if data:
            place = min(int(at * len(data)), len(data) - 1)
            victim.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        self.handles[0] = _Unopened(self.path)
        FeatureStore.repair(self.handles[0])
        self.handles = [FeatureStore(self.path), FeatureStore(self.path)]
        assert self.handles[0].verify().ok
        self.look(self.handles[0], damaged=True)
        self.extract("".join(sorted(self.sure)), 0)
        newest = next(iter(self.images - {None}), None)
        if newest:
            self.list_images(newest, 0)

    def look(self, store, damaged=False):
        """Every row that is there is right; without damage all that was promised is there."""
        snapshot = store.table(KEY).snapshot()
        everything = "".join(sorted(NAMES))
        at = snapshot.find(digests(everything))
        there = {name for name, place in zip(everything, at.tolist(), strict=True) if place >= 0}
        assert there <= self.possible, "rows that nobody committed"
        if not damaged:
            assert self.sure <= there, f"committed and lost: {self.sure - there}"
            self.sure |= there  # who was seen once must stay
        good = [name for name in sorted(there) if name != FAILED]
        if good:
            np.testing.assert_array_equal(snapshot.gather(snapshot.find(digests(good))), features(good))
        if "pets" in store.datasets():
            newest = "".join(path.decode()[2] for path in store.imageset("pets").paths)
            if not damaged:
                assert newest in self.images
                self.images = {newest}
        elif not damaged:
            assert None in self.images, "the image set is lost"

    @invariant()
    def readers_see_what_was_promised(self):
        if hasattr(self, "path"):
            for store in (FeatureStore(self.path), self.handles[1]):
                self.look(store)

    @rule()
    def verify(self):
        problems = self.handles[1].verify().problems
        assert not problems, problems

    @rule()
    def export(self):
        """The joined set has the images of the set that have features; where some have no row yet, it says so."""
        store = FeatureStore(self.path)
        if "pets" not in store.datasets():
            return
        try:
            data = store.read("pets")
        except StoreError as error:
            assert "features" in str(error) or "no data set" in str(error)
            return
        assert set(data.ids) <= {f"{'ab'[i % 2]}/{x}.jpg" for s in self.images if s for i, x in enumerate(s)}


class _Unopened:
    """A store that may not be opened, for its `store.json` may be what is damaged."""

    def __init__(self, path):
        self.path = path


QUICK = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck),
                 derandomize=True)  # fmt: skip
LONG = settings(max_examples=800, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))


def test_any_order_of_deeds_keeps_the_promises():
    run_state_machine_as_test(Life, settings=QUICK)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_long_lives_keep_the_promises():
    run_state_machine_as_test(Life, settings=LONG)
