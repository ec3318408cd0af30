"""The server under test: one of our own on one core, or a cluster that runs already."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from bench.process import NotReady, ServerProcess, free_port
from bench.seeding import deepen_sqlite

_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Operators:
    """The admin port of a cluster: it makes accounts where verification codes are told to nobody."""

    admin_url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where to measure; `pids` are the processes whose CPU and memory count (empty: not measured), `engine_pids` those
    of database, Redis and ZooKeeper, which are shown apart."""

    http_url: str
    ws_url: str
    pids: tuple[int, ...] = ()
    other_ws_urls: tuple[str, ...] = ()
    engine_pids: tuple[int, ...] = ()
    gateway_pids: tuple[int, ...] = ()
    """Of `pids` those that hold sockets, where they are processes of their own."""
    operators: Operators | None = None

    @property
    def ws_urls(self) -> tuple[str, ...]:
        """Every gateway."""
        return (self.ws_url, *self.other_ws_urls)


class Server(Protocol):
    """Something that can be measured again from a fresh start, and after a crash of a part of it."""

    victims: tuple[str, ...]
    """What W6 kills, one after the other."""
    twins: tuple[str, ...]
    """Those of them whose work another does meanwhile."""
    holders: tuple[str, ...]
    """What holds sockets, for W4 to begin with fresh ones."""
    deepens: bool
    """Whether a log of it can be deepened."""

    async def start(self) -> Target:
        """Up and ready. Raises NotReady."""

    async def stop(self) -> None:
        """Gone. Idempotent."""

    async def kill(self, victim: str) -> None:
        """SIGKILL; returns when it is dead. Raises NotReady."""

    async def start_again(self, victim: str) -> Target:
        """On what it left behind. Raises NotReady."""

    async def deepen(self, conversation_id: int, newest: int) -> Target:
        """Repeat an entry a million times in its own database. Raises NotReady, OSError."""


class RunningCluster:
    """Not ours: neither started nor stopped nor killed."""

    victims: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    deepens = False

    def __init__(self, target: Target) -> None:
        self._target = target

    async def start(self) -> Target:
        """As it is."""
        return self._target

    async def stop(self) -> None:
        """It runs on."""

    async def kill(self, victim: str) -> None:
        """Raises NotReady."""
        raise NotReady(f"{victim} is not ours to kill")

    async def start_again(self, victim: str) -> Target:
        """As it is."""
        return self._target

    async def deepen(self, conversation_id: int, newest: int) -> Target:
        """Raises NotReady."""
        raise NotReady("its database is not ours to write to")


class OwnServer:
    """`xinyu run` on a temporary folder: its data outlive stop and start, so accounts and tokens stay valid."""

    victims: tuple[str, ...] = ("server",)
    twins: tuple[str, ...] = ()
    holders: tuple[str, ...] = ("server",)
    deepens = True

    def __init__(self, config: Path, folder: Path, cpu: int | None) -> None:
        self._config = config
        self._folder = folder
        self._cpu = cpu
        self._process: ServerProcess | None = None

    async def start(self) -> Target:
        """Start on new free ports and wait for /readyz."""
        http, admin = free_port(), free_port()
        overlay = self._folder / "bench.yaml"
        overlay.write_text(yaml.safe_dump(_overlay(self._folder / "data", http, admin)))
        command = [sys.executable, "-m", "xinyu", "run", "--config", str(self._config), "--config", str(overlay)]
        self._process = ServerProcess(command, self._folder / "server.log", self._cpu)
        await self._ready(f"http://127.0.0.1:{admin}/readyz")
        return Target(f"http://127.0.0.1:{http}", f"ws://127.0.0.1:{http}", (self._process.pid,))

    async def _ready(self, url: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self._process.check_alive()
            if await asyncio.to_thread(_answers, url):
                return
            await asyncio.sleep(0.1)
        raise NotReady(f"the server was not ready after {_READY_SECONDS:.0f} s{self._process.last_words()}")

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    async def kill(self, victim: str) -> None:
        """The one process there is."""
        assert self._process is not None
        self._process.kill()

    async def start_again(self, victim: str) -> Target:
        """At other ports."""
        return await self.start()

    async def deepen(self, conversation_id: int, newest: int) -> Target:
        """Between a stop and a start."""
        await self.stop()
        await asyncio.to_thread(deepen_sqlite, self._folder / "data" / "xinyu.db", conversation_id, newest)
        return await self.start()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _overlay(data: Path, http: int, admin: int) -> dict[str, Any]:
    """What a benchmark changes: ports and folder, cheap password hashes, limits that count but never bite."""
    return {
        "data_dir": str(data),
        "admin_port": admin,
        "shutdown_seconds": 10.0,
        "gateway": {
            "http_port": http,
            "ws_port": http,
            "requests_per_minute_per_user": 100_000_000,
            "requests_per_minute_per_ip": 100_000_000,
            "handshakes_per_minute_per_ip": 100_000_000,
            "sends_per_second_per_user": 1_000_000,
            "socket_requests_per_second_per_user": 1_000_000,
            "drain_seconds": 0.5,
        },
        "group": {"max_members": 2000, "max_users_per_request": 1000},
        "user": {
            "codes_in_response": True,
            "accept_plain_passwords": True,
            "code_sends_per_address": 0,
            "code_sends_per_target": 0,
            "logins_per_address": 0,
            "argon2_time_cost": 1,
            "argon2_memory_kib": 8,
        },
    }
