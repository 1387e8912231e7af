import dataclasses
import os

import numpy as np
import pytest

from classifiers.leakage import duplicate_groups, kept_comparison
from classifiers.leakage.candidate_pairs import find_candidate_pairs
from classifiers.leakage.compared_pairs import compare_pairs
from classifiers.leakage.duplicate_groups import find_duplicate_groups


@pytest.fixture
def comparisons(monkeypatch):
    """How often pixels were compared."""
    calls = []
    monkeypatch.setattr(
        duplicate_groups, "compare_pairs", lambda *given, **more: calls.append(1) or compare_pairs(*given, **more)
    )
    return calls


def entries(folder):
    return sorted((folder / "featstore" / kept_comparison.FOLDER).glob("*"))


def same(one, other):
    """Whether two documents of arrays are equal, the effect and the names aside, which are computed anew."""

    def parts(found):
        pixels = {
            f"pixels.{field.name}": getattr(found.pixels, field.name) for field in dataclasses.fields(found.pixels)
        }
        others = {name: getattr(found, name) for name in ("identical", "copies", "cosine", "kinds", "groups")}
        return {name: np.asarray(value).tolist() for name, value in (pixels | others).items()}

    return parts(one) == parts(other)


def test_the_second_look_reads_no_picture_and_finds_the_same(mirrored, comparisons, own_cache):
    first = find_duplicate_groups(mirrored)
    gone = dataclasses.replace(mirrored, root=b"/nowhere")  # the features and the hashes are still there
    second = find_duplicate_groups(gone)
    assert len(comparisons) == 1 and len(entries(own_cache)) == 1
    assert len(second.copies) == 4 and set(second.kinds) == {"mirrored"} and same(first, second)


@pytest.mark.parametrize("changed", ["labels", "bytes", "seed", "network", "code", "library"])
def test_what_the_answer_depends_on_is_asked_anew(mirrored, comparisons, changed, monkeypatch):
    find_duplicate_groups(mirrored)
    other, seed = mirrored, 0
    if changed == "labels":
        other = dataclasses.replace(mirrored, y=1 - mirrored.y)
    elif changed == "bytes":
        other = dataclasses.replace(mirrored, digests=mirrored.digests[::-1].copy())
    elif changed == "seed":
        seed = 1
    elif changed == "network":
        made = dataclasses.replace(mirrored.fingerprint, weights_sha256="1" * 64)
        other = dataclasses.replace(mirrored, fingerprint=made)
    elif changed == "code":
        monkeypatch.setattr(kept_comparison, "_code", lambda: "another")
    else:
        monkeypatch.setattr(kept_comparison, "version", lambda name: "0.0")
    find_duplicate_groups(other, seed=seed)
    assert len(comparisons) == 2


def test_nothing_is_kept_while_a_picture_cannot_be_read(mirrored, comparisons, own_cache):
    digests = mirrored.digests.copy()
    digests[20] = 1
    changed = dataclasses.replace(mirrored, digests=digests)
    for _ in range(2):
        assert find_duplicate_groups(changed).pixels.unread == (("the file changed since it was listed", 1),)
    assert len(comparisons) == 2 and not entries(own_cache)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\xff\x00"])
def test_a_damaged_entry_costs_one_comparison(mirrored, comparisons, own_cache, damage):
    first = find_duplicate_groups(mirrored)
    (entry,) = entries(own_cache)
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert same(first, find_duplicate_groups(mirrored)) and len(comparisons) == 2
    assert entry.read_bytes() == whole


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_changed_byte_is_noticed(mirrored, comparisons, own_cache, at):
    find_duplicate_groups(mirrored)
    (entry,) = entries(own_cache)
    data = bytearray(entry.read_bytes())
    data[int(at * len(data))] ^= 1
    entry.write_bytes(bytes(data))
    assert len(find_duplicate_groups(mirrored).copies) == 4 and len(comparisons) == 2


def test_a_cache_that_cannot_be_written_is_no_failure(mirrored, comparisons, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert len(find_duplicate_groups(mirrored).copies) == 4
    assert len(comparisons) == 2


def test_entries_that_were_not_asked_for_the_longest_go(mirrored, own_cache, monkeypatch):
    near = find_candidate_pairs(mirrored.X)
    seen = compare_pairs(mirrored, near)
    for seed in range(4):
        kept_comparison.keep_comparison(mirrored, near, seen, seed=seed)
        newest = max(entries(own_cache), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, ns=(seed, seed))
    monkeypatch.setattr(kept_comparison, "_BYTES", 3 * newest.stat().st_size)
    assert kept_comparison.kept_comparison(mirrored, near, seed=0) is not None  # asked for just now
    kept_comparison.keep_comparison(mirrored, near, seen, seed=4)
    kept = [kept_comparison.kept_comparison(mirrored, near, seed=seed) is not None for seed in range(5)]
    assert kept == [True, False, False, True, True]
