"""Processes and ports: is this pid still the process we started, and which port is free."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple


class EngineError(Exception):
    """An engine cannot be had; the text is what the user is told."""


class Identity(NamedTuple):
    """What makes a pid the process it was: pids are used again, a pid with its start time is not."""

    started: str
    command: str


def identity(pid: int) -> Identity | None:
    """The identity of a running process, None where there is none (or only its zombie)."""
    proc = Path("/proc")
    if (proc / "self" / "stat").exists():
        try:
            # The name in parentheses may hold spaces; what follows the last one is fixed (proc(5)): state is field 3,
            # the start time in ticks since boot field 22.
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            command = (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return None
        return None if fields[0] in "ZX" else Identity(fields[19], command)
    answer = subprocess.run(["ps", "-ww", "-o", "lstart=,command=", "-p", str(pid)], capture_output=True, text=True)
    line = answer.stdout.strip()
    return Identity(line[:24], line[24:]) if answer.returncode == 0 and line else None


def is_ours(pid: int, started: str, folder: Path) -> bool:
    """Whether `pid` is the process that was started then, with `folder` on its command line."""
    found = identity(pid)
    return found is not None and found.started == started and str(folder) in found.command


def terminate(pid: int, started: str, folder: Path, within: float = 30.0) -> None:
    """End a process of ours: SIGTERM, then SIGKILL once `within` seconds are over; with 0 SIGKILL at once. Does nothing
    to any other."""
    for number, seconds in ((signal.SIGTERM, within), (signal.SIGKILL, 10.0)):
        if not seconds:
            continue
        if not is_ours(pid, started, folder):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # An ending process loses its command line before its files and locks: only its start time tells.
            found = identity(pid)
            if found is None or found.started != started:
                return
            time.sleep(0.02)
    raise EngineError(f"process {pid} does not end")


def free_port() -> int:
    """A loopback port that nobody listens on right now. It may be taken before it is used: callers try again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, question: bytes, timeout: float = 2.0) -> bytes:
    """What a loopback server says first after `question`, empty when it says nothing or is not there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            if question:
                connection.sendall(question)
            return connection.recv(65536)
    except OSError:
        return b""


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, indented for the terminal."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in lines[-count:]) or "  (the log is empty)"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
