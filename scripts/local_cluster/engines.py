"""Engines for stages that name none: those of `scripts/engines`, stopped again when we started them."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_engines.cli import ROOT as ENGINES_ROOT
from local_engines.cli import start_all
from local_engines.instance import Instance, State
from local_engines.process import EngineError, write_private
from local_engines.servers import SERVERS, Server


@dataclass
class _Record:
    """Who uses what, as written down in engines.json below the stages' root."""

    users: dict[str, list[str]] = field(default_factory=dict)
    """Engine → stages."""
    ours: dict[str, str] = field(default_factory=dict)
    """Engines that were started for a stage → which life of them that was."""


class Engines:
    """The engines that the stages below one root use. What ran before any of them stays when the last has gone."""

    def __init__(self, root: Path, instances: Path = ENGINES_ROOT, servers: Mapping[str, Server] = SERVERS) -> None:
        self._root = root
        self._instances = {name: Instance(server, instances) for name, server in servers.items()}

    def take(self, stage: str, names: Sequence[str]) -> dict[str, str]:
        """Have these running for a stage; their addresses. Raises EngineError."""
        if not names:
            return {}
        with self._record() as record:
            before = [name for name in names if self._instances[name].state() is not None]
            after = [name for name in names if name not in before]
            # One that runs is another's to keep or to stop: only what we start is asked to stay.
            start_all([self._instances[name] for name in before], keep=False)
            try:
                start_all([self._instances[name] for name in after], keep=True)
            finally:  # where one cannot be had, the others are to be stopped by `leave`
                for name in after:
                    if (state := self._instances[name].state()) is not None:
                        record.ours[name] = _life(state)
            for name in names:
                users = record.users.setdefault(name, [])
                users += [stage] * (stage not in users)
            return {name: self._address(name) for name in names}

    def leave(self, stage: str, say: Callable[[str], None]) -> None:
        """A stage needs none any more: stop what was started for stages and no other stage uses."""
        if not (self._root / "engines.json").exists():
            return
        with self._record() as record:
            record.users = {
                name: rest
                for name, users in record.users.items()
                if (rest := [user for user in users if user != stage])
            }
            for name in [name for name in record.ours if name not in record.users]:
                life, instance = record.ours.pop(name), self._instances[name]
                state = instance.state()
                if state is None or _life(state) != life:
                    continue
                try:
                    instance.stop()
                    say(f"{name} stopped")
                except EngineError as error:
                    say(f"left running: {error}")

    def missing(self, stage: str) -> list[str]:
        """Engines that this stage was given and that do not run any more."""
        if not (self._root / "engines.json").exists():
            return []
        users = self._read().users
        return [name for name in users if stage in users[name] and self._instances[name].state() is None]

    def _address(self, name: str) -> str:
        instance = self._instances[name]
        state = instance.state()
        if state is None:
            raise EngineError(f"{name} ended at once; log: {instance.log}")
        return instance.address(state)

    @contextlib.contextmanager
    def _record(self) -> Iterator[_Record]:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._root / "engines.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            record = self._read()
            try:
                yield record
            finally:
                write_private(self._root / "engines.json", json.dumps(vars(record), indent=2) + "\n")

    def _read(self) -> _Record:
        try:
            found: dict[str, Any] = json.loads((self._root / "engines.json").read_text())
            return _Record(**found)
        except (OSError, ValueError, TypeError):
            return _Record()


def _life(state: State) -> str:
    return f"{state.pid} {state.started}"
