"""Limits of the control groups that this process is in: of processor time and of memory, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_UNLIMITED = 1 << 60  # version 1 writes about 2**63 bytes where there is no limit


def processor_quota(root: Path = _ROOT) -> float | None:
    """Cores' worth of time that the process may take, by the tightest limit; None where there is none.

    Parameters
    ----------
    root : Path
        Of the file system.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = Path(folder)
    ...     for name, text in [("proc/self/cgroup", "0::/job"), ("sys/fs/cgroup/job/cpu.max", "150000 100000")]:
    ...         (root / name).parent.mkdir(parents=True)
    ...         _ = (root / name).write_text(text)
    ...     processor_quota(root)
    1.5
    """
    found: list[float] = []
    for folder, version in _folders("cpu", root):
        if version == 2:
            quota, _, period = _read(folder / "cpu.max").partition(" ")
        else:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            found.append(int(quota) / int(period))
    return min(found, default=None)


def memory_left(root: Path = _ROOT) -> int | None:
    """Bytes that the tightest limit leaves; None where there is none.

    Files that were read and are only cached do not count as used: they go where memory is asked for.

    Parameters
    ----------
    root : Path
        Of the file system.

    Examples
    --------
    >>> left = memory_left()
    >>> left is None or left >= 0
    True
    """
    found: list[int] = []
    for folder, version in _folders("memory", root):
        names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        limit, used = (_read(folder / name) for name in names)
        if limit.isdigit() and used.isdigit() and int(limit) < _UNLIMITED:
            found.append(max(0, int(limit) - int(used) + _cached_files(folder, version)))
    return min(found, default=None)


def _folders(controller: str, root: Path) -> Iterator[tuple[Path, int]]:
    """The folders of this process's group and of all above it, with the version of their files.

    In a container the path may be the host's, which is not to be seen from within: then the mounted root is the group.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers == "":
            top, version = root / "sys/fs/cgroup", 2
        elif controller in controllers.split(","):
            top, version = root / "sys/fs/cgroup" / controller, 1
        else:
            continue
        inner = Path(path.strip("/"))
        for part in [inner, *inner.parents] if inner.parts else [inner]:
            yield top / part, version


def _cached_files(folder: Path, version: int) -> int:
    wanted = "inactive_file" if version == 2 else "total_inactive_file"
    for line in _read(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == wanted and value.isdigit():
            return int(value)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
