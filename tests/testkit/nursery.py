"""Where the scenarios' server processes are born: one interpreter a test worker has loaded the program, and forks.

A scenario run starts hundreds of processes, and each would take more than a second of CPU to import what the one before
imported. A child is a process like any other: its own id, its own files, killed and waited for by itself; only how it
came by its modules differs. That the command itself starts is seen by the scenarios of the command line and of
`scripts/gateways_run.sh`.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

TESTS = Path(__file__).parents[1]
LOADED_LATE = ("aiomysql", "httptools", "uvloop", "websockets.legacy.server", "uvicorn.protocols.http.httptools_impl")
"""What the program imports only when it runs."""


class Forked:
    """A process that the nursery forked; used as a `subprocess.Popen` is."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code (the signal's number, negative, when one ended it), None while it runs."""
        if self._code is None:
            self._code = self._nursery.ask({"poll": self.pid})
        return self._code

    def wait(self, timeout: float) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("xinyu", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended: its id may be another's by then."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The interpreter that forks. Ends with the process that started it; its children go on, as a shell's would."""

    def __init__(self) -> None:
        mine, its = socket.socketpair()
        with its:
            # -c, so that the package's own name is not that of the main module
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from testkit.nursery import serve; serve()"],
                cwd=TESTS.parent,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
                stdin=its,
            )
        self._stream: IO[bytes] = mine.makefile("rwb")
        self._turn = threading.Lock()

    def start(self, arguments: Sequence[str], cwd: Path, environment: dict[str, str], log: Path) -> Forked:
        """Run the `xinyu` command, its output appended to `log`."""
        wish = {"start": list(arguments), "cwd": str(cwd), "environment": environment, "log": str(log)}
        return Forked(self, self.ask(wish))

    def ask(self, wish: dict[str, Any]) -> Any:
        """One question, one answer."""
        with self._turn:
            self._stream.write(json.dumps(wish).encode() + b"\n")
            self._stream.flush()
            return json.loads(self._stream.readline())


@functools.cache
def nursery() -> Nursery:
    """This test process's own."""
    return Nursery()


def serve() -> None:
    """Answer what comes over stdin, a socket, until it is closed."""
    import importlib

    for name in ("xinyu.cli", *LOADED_LATE):
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end what they started
    with socket.socket(fileno=os.dup(0)) as connection, connection.makefile("rwb") as stream:
        for line in stream:
            wish = json.loads(line)
            if "start" in wish:
                answer: int | None = _fork(wish, connection)
            else:
                pid, status = os.waitpid(wish["poll"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            stream.write(json.dumps(answer).encode() + b"\n")
            stream.flush()


def _fork(wish: dict[str, Any], connection: socket.socket) -> int:
    assert threading.active_count() == 1, "a thread would not be in the child"
    pid = os.fork()
    if pid:
        return pid
    try:
        connection.close()
        log = os.open(wish["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for opened, place in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(opened, place)
        os.environ.clear()
        os.environ.update(wish["environment"])
        os.chdir(wish["cwd"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.unfreeze()
        from xinyu.cli import main

        main(wish["start"])
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    finally:
        os._exit(70)
