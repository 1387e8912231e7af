# ruff: noqa: E501
"""Take each protection of the store away, one at a time, in a copy of the tree: the test named beside it must fail.

Run by hand, `python -m tests.promises.mutation_check`; prints one line a protection and ends with status 1 where one is not missed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POWER, KILL, FLIP = "test_promise_02_power.py", "test_promise_01_kill.py", "test_promise_07_flip.py"
HOSTILE, WRITERS, FULL = (
    "test_promise_13_hostile_files.py",
    "test_promise_06_writers.py",
    "test_promise_03_full_disk.py",
)
WRITE_SYNC = (
    "        # After a failed fsync the kernel may call the next one good without the data: give the file up instead.\n"
)

# What two guards refuse is not in the list, for the tests stay green without one of them: external storage is never in
# one chunk, and HDF5 asks the memory that a shard was read into for the file that an external link names.
MUTATIONS = [
    ("fsync of a file's bytes", "fsio.py", WRITE_SYNC + "        os.fsync(descriptor)\n", "", POWER),
    ("fsync of the folder in publish", "fsio.py", "            _sync_folder(path.parent)\n        finally", "        finally", POWER),
    ("fsync of the folder in replace", "fsio.py", "            raise\n        _sync_folder(path.parent)\n", "            raise\n", POWER),
    ("fsync of the parent in make_directory", "fsio.py", "            _sync_folder(level.parent)\n", "", POWER),
    ("fsync of the target in move", "fsio.py", "        _sync_folder(target.parent)\n", "", POWER),
    ("fsync of the source in move", "fsio.py", "        _sync_folder(path.parent)\n        return True", "        return True", POWER),
    ("link instead of writing in place", "fsio.py", "part = tmp / f\"{secrets.token_hex(12)}.part\"", "part = path", POWER),
    ("no replace: link decides", "fsio.py", "        os.link(part, path)\n", "        os.replace(part, path)\n", WRITERS),
    ("one sentence for a refusal", "fsio.py", "    except OSError as error:\n        why", "    except ZeroDivisionError as error:\n        why", FULL),
    ("a short write is continued", "fsio.py", "rest = rest[count:]", "rest = rest[len(rest):]", FULL),
    ("a killed creation is resumed", "identity.py", "and not _others(path)\n", "and not list(path.iterdir())\n", KILL),
    ("the seal of documents", "sealed.py", "    if not intact:\n", "    if False:\n", FLIP),
    ("the checksum of features", "snapshot.py", "    if check.hexdigest() != entry.features_check:", "    if False:", FLIP),
    ("the hash of a shard's index", "shard.py", "!= entry.index_sha256:", "== 0:", FLIP),
    ("the hash of an image set", "image_file.py", "!= document.get(\"body_sha256\"):", "== 0:", FLIP),
    ("links are not followed", "fsread.py", " | os.O_NOFOLLOW", "", HOSTILE),
    ("only regular files", "fsread.py", "        if not stat.S_ISREG(status.st_mode):\n            raise", "        if False:\n            raise", HOSTILE),
    ("the highest number ends writers", "manifest.py", "    if highest >= MOST:\n", "    if False:\n", "test_repair.py"),
    ("gc keeps what nothing else holds", "garbage.py", "            if path.name in alone:\n", "            if False:\n", "test_garbage.py"),
    ("weights_only", "weights_file.py", "weights_only=True", "weights_only=False", HOSTILE),
]  # fmt: skip


def missed(file: str, old: str, new: str, test: str) -> bool:
    """Whether the tests fail without a protection."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache"))
        (source,) = (copy / "featstore").rglob(file)
        text = source.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{file} does not hold this once: {old!r}; bring the list up to date")
        source.write_text(text.replace(old, new), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            *map(str, (copy / "tests").rglob(test)),
        ]
        environment = {**os.environ, "PYTHONPATH": str(copy), "FEATSTORE_TEST_DATA": str(place)}
        return subprocess.run(command, cwd=copy, env=environment, capture_output=True, check=False).returncode == 1


def main() -> None:
    """Take every protection away, or those whose name holds one of the arguments."""
    wanted = [m for m in MUTATIONS if not sys.argv[1:] or any(word in m[0] for word in sys.argv[1:])]
    unnoticed = 0
    for what, file, old, new, test in wanted:
        found = missed(file, old, new, test)
        unnoticed += not found
        print(f"{'missed by ' + test if found else 'NOT MISSED by ' + test}: {what}", flush=True)
    sys.exit(bool(unnoticed))


if __name__ == "__main__":
    main()
