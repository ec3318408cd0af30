"""Processes of the benchmark: start them on a core, read their CPU time and memory from /proc, stop them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """A server did not come up."""


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin(cpu: int | None) -> None:
    """Keep this process on core `cpu`, where the system allows it and has that core."""
    if cpu is not None and hasattr(os, "sched_setaffinity") and cpu < (os.cpu_count() or 1):
        os.sched_setaffinity(0, {cpu})


def unpin() -> None:
    """Let the calling thread, and what it starts, have every core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of the processes with all their threads, in seconds (Linux, granularity 10 ms)."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def rss_bytes(pids: Sequence[int]) -> int:
    """Resident memory of the processes, in bytes (Linux)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


class ServerProcess:
    """A child process on one core, its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, cpu: int | None) -> None:
        self._log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: pin(cpu),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    async def wait_port(self, port: int, seconds: float = 15.0) -> None:
        """Return when something listens on `port`. Raises NotReady."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
        raise NotReady(f"nothing listens on port {port} after {seconds:.0f} s{self.last_words()}")

    def check_alive(self) -> None:
        """Raises NotReady when the process has ended."""
        code = self._child.poll()
        if code is not None:
            raise NotReady(f"the server ended with code {code}{self.last_words()}")

    def last_words(self) -> str:
        """The end of its output, for an error message."""
        text = self._log.read_text(errors="replace").strip() if self._log.exists() else ""
        return ":\n" + "\n".join(text.splitlines()[-12:]) if text else ""

    def kill(self) -> None:
        """SIGKILL, and wait until it is dead."""
        self._child.kill()
        self._child.wait()

    async def stop(self, seconds: float = 25.0) -> None:
        """SIGTERM, and SIGKILL if that took longer than `seconds`. Idempotent."""
        if self._child.poll() is not None:
            return
        self._child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self._child.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
