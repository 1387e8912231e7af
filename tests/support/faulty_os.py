"""`os` as `fsio` sees it, recorded: the Nth call that changes the disk can fail, fall short, or be the last."""

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

CHANGES = ("open", "write", "fsync", "link", "rename", "replace", "unlink", "mkdir", "utime")
"""Calls of `fsio` that change the disk, or make a change last; `open` only where it creates."""

NEEDS_ROOM = {"open", "write", "link", "rename", "replace", "mkdir"}
"""What a full disk refuses."""


class Killed(BaseException):
    """The process is gone: raised by the call that it dies in and by every later one, so that no clean-up happens."""


@dataclass(frozen=True)
class Call:
    """One call: name, paths (for descriptors: of the file that was opened), the bytes of a write."""

    name: str
    paths: tuple[str, ...]
    data: bytes = b""


@dataclass
class FaultyOs:
    """Stands in for the module `os`.

    Attributes
    ----------
    rule : callable of (number, call) -> None, bytes count, or an exception
        Asked before every recorded call, numbered from 1. None lets it through; an int shortens a write to so many
        bytes; an exception is raised instead of the call.
    record : list of Call
        What was done, in order; failed calls are left out.
    """

    rule: Callable[[int, Call], object] = lambda number, call: None
    record: list[Call] = field(default_factory=list)
    count: int = 0
    dead: bool = False
    _opened: dict[int, str] = field(default_factory=dict)

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in (*CHANGES, "close"):
            return real

        def call(*args, **kwargs):
            if self.dead:
                raise Killed
            if name == "close":
                self._opened.pop(args[0], None)
                return real(*args, **kwargs)
            made = self._describe(name, args)
            if made is None:
                descriptor = real(*args, **kwargs)
                self._opened[descriptor] = os.fspath(args[0])
                return descriptor
            self.count += 1
            verdict = self.rule(self.count, made)
            if isinstance(verdict, Killed):
                self.dead = True
            if isinstance(verdict, BaseException):
                raise verdict
            if isinstance(verdict, int):
                made = Call(name, made.paths, made.data[:verdict])
                args = (args[0], made.data)
            result = real(*args, **kwargs)
            if name == "open":
                self._opened[result] = made.paths[0]
            self.record.append(made)
            return result

        return call

    def _describe(self, name, args) -> Call | None:
        if name == "open":
            return Call(name, (os.fspath(args[0]),)) if args[1] & os.O_CREAT else None
        if name in ("write", "fsync"):
            return Call(name, (self._opened[args[0]],), bytes(args[1]) if name == "write" else b"")
        paths = args[:2] if name in ("link", "rename", "replace") else args[:1]
        return Call(name, tuple(os.fspath(path) for path in paths))


def failing(number: int, code: int):
    """A rule: the call of that number fails once."""
    return lambda n, call: OSError(code, os.strerror(code)) if n == number else None


def full_from(number: int):
    """A rule: from that call on the disk has no room; removing still works."""
    refused = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return lambda n, call: refused if n >= number and call.name in NEEDS_ROOM else None


def short(number: int):
    """A rule: the write of that number takes only half of its bytes; everything else goes through."""
    return lambda n, call: len(call.data) // 2 if n == number and len(call.data) > 1 else None


def ending(number: int):
    """A rule: the process is gone at that call, before it is made; a write is torn."""
    return lambda n, call: Killed() if n >= number else None


def killing(number: int):
    """A rule for a process of its own: SIGKILL at that call, before it is made."""

    def rule(n, call):
        if n == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return rule
