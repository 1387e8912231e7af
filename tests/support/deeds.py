"""What processes of the tests do until they are killed: started by `tests.support.killing` from a ready interpreter."""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from featstore import FeatureStore
from featstore.errors import StoreError
from featstore.extract import extract, writer
from featstore.store.feature_set_reader import open_feature_stream
from featstore.system import fsio
from tests.support.faulty_os import FaultyOs, full_from, killing
from tests.support.store_inputs import PROVENANCE, digests, features, fingerprint, images, rows

PARTS = ("abcd", "efgh", "ijkl")
NAMES = "".join(PARTS)
MANY = [f"image {number}" for number in range(300)]
ROWS_A_SHARD = 4


def begin(deed, args, kwargs):
    """Do a deed; its exit status is the process's, whose interpreter is not taken down at leisure."""
    status = 0
    try:
        globals()[deed](*args, **kwargs)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = 99
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)


def three_shards(path):
    """A small store's whole life, without images and networks. `<path>.done` says which commits have returned."""
    store = FeatureStore(path, create=True)
    store.put_imageset(images(NAMES))
    for part in PARTS:
        store.commit(fingerprint(), rows(part, failed="g"), PROVENANCE)
        with Path(f"{path}.done").open("a") as file:
            file.write(part)


def killed_everywhere(deed, place, step, *args):
    """Do it in `place/1`, ..., and die of SIGKILL at every `step`th call that changes the disk, until one lives."""
    globals()[deed](*args, Path(place) / "warm")  # what is set up at the first use is set up once, not in every child
    number = 1 - step
    while True:
        number += step
        child = os.fork()
        if not child:
            fsio.os = FaultyOs(killing(number))
            globals()[deed](*args, Path(place) / str(number))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not status:
            return
        if not os.WIFSIGNALED(status):
            sys.exit(98)


def again(deed, place, *args):
    """Do it once more, undisturbed, in every folder of `place`."""
    for path in sorted(Path(place).iterdir()):
        if path.is_dir():
            globals()[deed](*args, path)


def stopped(deed, *args):
    """Wait for SIGCONT, so that a tracer can attach first."""
    os.kill(os.getpid(), signal.SIGSTOP)
    globals()[deed](*args)


class Shortcut:
    """An engine that takes no time: each image's first pixels are its features."""

    batch_size = usual_batch_size = 4
    start = ""
    provenance = {"engine": "shortcut"}

    def prepare(self):
        return 0.0

    def close(self, finish=True):
        pass

    def submit(self, images):
        features = {"avgpool": images.reshape(len(images), -1)[:, :512].astype(np.float32) / 255}
        return SimpleNamespace(result=lambda: features, batch_size=self.batch_size)


def take_shortcuts():
    """From here on extractions need no network, and make shards of four rows."""
    from featstore.engines import factory
    from featstore.engines.deferred_backbone import DeferredBackbone
    from tests.support.ready_network import NETWORK

    factory.make_engine = lambda *args, **options: Shortcut()
    pipeline = sys.modules["featstore.extract.job"]
    pipeline._network = lambda *args: DeferredBackbone.of(NETWORK, "fp32")  # the user's cache is left alone
    writer.SHARD_ROWS = ROWS_A_SHARD


def extraction(folder, store, workers=0, pause=0.0):
    """An extraction with everything real but the network's arithmetic."""
    take_shortcuts()
    progress = (lambda *_: time.sleep(pause)) if pause else None
    extract(folder, store, backbone="resnet18", workers=workers, progress=progress)


def command(arguments, said, full_at=None):
    """The command line, with what it says in a file, on a disk that is full from the Nth call on."""
    from featstore_scripts import main, options

    take_shortcuts()
    with Path(said).open("w") as file:
        os.dup2(file.fileno(), 2)
        os.dup2(file.fileno(), 1)
    if full_at is not None:
        fsio.os = FaultyOs(full_from(full_at))
    options.run(main.group, arguments)


def race(path, seed, names=NAMES, repeat=1):
    """One of several writers: the same rows as all others, in an order and in portions of its own."""
    rng = random.Random(seed)
    store = FeatureStore(path, create=True)
    for _ in range(repeat):
        order = list(names)  # a failed "g" among the letters
        rng.shuffle(order)
        while order:
            portion = [order.pop() for _ in range(min(len(order), rng.randint(1, 4)))]
            store.commit(fingerprint(), rows(portion, failed="g"), PROVENANCE)
        if rng.random() < 0.3:
            store.put_imageset(images(names))


def tidy(path, seed, seconds):
    """Compaction and garbage collection over and over, with a grace period that is long for these writers."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (Path(path) / "store.json").exists():
            store = FeatureStore(path)
            store.compact() if rng.random() < 0.6 else store.gc(grace_seconds=1.0)
        time.sleep(0.002)


def look(path, seconds, report):
    """A reader in a loop. Writes down how many looks it took, the longest one, and what was wrong, if anything."""
    names = MANY
    expected = {d.tobytes(): x for d, x in zip(digests(names), features(names), strict=True)}
    end, looks, longest, most = time.monotonic() + seconds, 0, 0.0, 0
    wrong = ""
    while time.monotonic() < end and not wrong:
        began = time.monotonic()
        try:
            if (Path(path) / "store.json").exists():
                store = FeatureStore(path)
                snapshot, at, X = store.table(fingerprint().key).read(digests(names))
                good = snapshot.status[at[at >= 0]] == 0
                for digest, x in zip(snapshot.digests[at[at >= 0]][good], X, strict=True):
                    if not np.array_equal(expected[digest.tobytes()], x):
                        wrong = "other numbers"
                if int((at >= 0).sum()) < most:
                    wrong = f"{most} rows were there, now {int((at >= 0).sum())}"
                most = int((at >= 0).sum())
        except (StoreError, OSError) as error:
            wrong = f"{type(error).__name__}: {error}"
        longest = max(longest, time.monotonic() - began)
        looks += 1
    Path(report).write_text(f"{looks}\n{longest}\n{most}\n{wrong}", encoding="utf-8")
    sys.exit(bool(wrong))


def stream(path, report, last):
    """A reader that stays at the state of its beginning, pass after pass; one more whole one when `last` is there."""
    store, wrong, passes = FeatureStore(path), "", 0
    (info,) = store.features()
    given = images(MANY)
    opened = open_feature_stream(store.table(info.key), info, given, rows=2, partial=True)
    expected = features([name for name in MANY if any(f"/{name}.jpg" in one for one in opened.ids)])
    Path(report).touch()
    ending = False
    try:
        while not (ending or wrong):
            ending = Path(last).exists()
            order = ("rows", "stored", "shuffled")[passes % 3]
            for numbers, X in opened.chunks(order=order, seed=passes):
                if not np.array_equal(X, expected[numbers]):
                    wrong = f"other numbers in pass {passes}"
                time.sleep(0.01)
            passes += 1
    except (StoreError, OSError) as error:
        wrong = f"{type(error).__name__}: {error}"
    Path(report).write_text(f"{passes}\n{len(opened)}\n{wrong}", encoding="utf-8")
    sys.exit(bool(wrong))
