"""One private engine of this checkout: its folder, its process, and who uses it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .process import EngineError, free_port, identity, is_ours, last_lines, terminate, write_private
from .servers import Server

START_SECONDS = 60.0
TRIES = 3
"""A free port can be taken before the engine has it: then another one is tried."""


@dataclass(frozen=True)
class State:
    """What is known of a started process."""

    pid: int
    started: str
    port: int
    secret: str


class Instance:
    """Start, stop and describe one engine below `root`.

    Two locks make concurrent callers safe. `lock` is held while something starts or stops. `users` is held shared by
    every `run` that uses the engine, so that the last one to leave stops it; the kernel lets go of it whatever
    happens to its holder.
    """

    def __init__(self, server: Server, root: Path) -> None:
        self.server = server
        self.folder = root / server.name
        self.log = self.folder / "log"

    def state(self) -> State | None:
        """The running process of ours, None where there is none."""
        try:
            state = State(**json.loads((self.folder / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return state if is_ours(state.pid, state.started, self.folder) else None

    def address(self, state: State) -> str:
        """The value of the server's environment variable."""
        return self.server.address(state.port, state.secret)

    def start(self, keep: bool) -> State:
        """Start it unless it runs. `keep` says that it outlives the command that started it, and so does its data."""
        with self._locked("lock"):
            if keep:
                (self.folder / "keep").touch()
            state = self.state()
            if state is None:
                state = self._launch()
            else:
                self._await_ready(state, None)
            return state

    @contextlib.contextmanager
    def used(self) -> Iterator[State]:
        """Have it running inside the block; the last user leaving stops it, unless `start` was asked to keep it."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop_if_unused)
            stack.enter_context(self._locked("users", fcntl.LOCK_SH))
            yield self.start(keep=False)

    def stop(self, force: bool = False) -> bool:
        """Stop it, keeping its data. Returns whether it ran. Refuses while a `run` uses it, unless forced."""
        with self._locked("lock"), self._alone() as alone:
            if not (alone or force):
                raise EngineError(
                    f"{self.server.name}: a `scripts/engines run` is using it (stop --force stops it anyway)"
                )
            (self.folder / "keep").unlink(missing_ok=True)
            return self._end()

    def crash(self) -> State:
        """Kill it at once, as a loss of power does; what it has on disk stays. Raises EngineError where none runs."""
        with self._locked("lock"):
            state = self.state()
            if state is None:
                raise EngineError(f"{self.server.name} does not run")
            terminate(state.pid, state.started, self.folder, within=0.0)
            return state

    def send_signal(self, number: signal.Signals) -> State:
        """Send it a signal. Raises EngineError where none runs."""
        with self._locked("lock"):
            state = self.state()
            if state is None:
                raise EngineError(f"{self.server.name} does not run")
            os.kill(state.pid, number)
            return state

    def start_again(self, before: State) -> State:
        """Start it where it was: whoever knew its address finds it there. Raises EngineError."""
        with self._locked("lock"):
            process, state = self._spawn(before.port, before.secret)
            self._await_ready(state, process)
            return state

    def wipe(self) -> None:
        """Remove the data of a stopped engine."""
        with self._locked("lock"):
            if self.state() is None:
                shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _stop_if_unused(self) -> None:
        with self._locked("lock"), self._alone() as alone:
            if alone and not (self.folder / "keep").exists():
                self._end()
                shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _end(self) -> bool:
        state = self.state()
        if state is not None:
            terminate(state.pid, state.started, self.folder)
        (self.folder / "state.json").unlink(missing_ok=True)
        return state is not None

    def _launch(self) -> State:
        for attempt in range(1, TRIES + 1):
            process, state = self._spawn(free_port(), secrets.token_hex(16))
            try:
                self._await_ready(state, process)
            except EngineError:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                elif attempt < TRIES and "in use" in self.log.read_text(errors="replace"):
                    continue
                raise
            except BaseException:  # Ctrl-C while it starts
                process.kill()
                process.wait()
                raise
            return state
        raise AssertionError("unreachable")

    def _spawn(self, port: int, secret: str) -> tuple[subprocess.Popen[bytes], State]:
        self.server.prepare(self.folder, port, secret)
        command = list(self.server.command(self.folder))
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the command that uses it
            )
        found = identity(process.pid)
        state = State(process.pid, found.started if found else "", port, secret)
        write_private(self.folder / "state.json", json.dumps(asdict(state)))
        return process, state

    def _await_ready(self, state: State, process: subprocess.Popen[bytes] | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.server.is_ready(self.folder, state.port, state.secret):
            gone = process.poll() is not None if process else self.state() is None
            if gone or time.monotonic() > deadline:
                what = "ended at once" if gone else f"is not ready after {START_SECONDS:.0f} s"
                raise EngineError(
                    f"{self.server.name} {what}; its last words:\n{last_lines(self.log)}\n  log: {self.log}"
                )
            time.sleep(0.05)

    @contextlib.contextmanager
    def _locked(self, name: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / name).open("a") as file:
            fcntl.flock(file, how)
            yield

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no `run` uses it; where that is so, none begins to inside the block."""
        with (self.folder / "users").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
