"""Redis and ZooKeeper for tests: the shared private ones of `scripts/engines run`, and servers of a test's own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_engines.cli import RUN_BY_DEFAULT
from local_engines.process import free_port, last_lines
from local_engines.servers import SERVERS

START_SECONDS = 60.0


def adapters(*names: str, engine: str) -> list[object]:
    """Parameters of a suite over `names` without an engine and one adapter, called as its `engine`, over a real one.

    An engine that `scripts/engines run` does not start by default is left out unless the run handed it over; any other
    is always in, and its tests fail where it is not there.
    """
    if engine not in RUN_BY_DEFAULT and not os.environ.get(SERVERS[engine].variable):
        return list(names)
    return [*names, pytest.param(engine, marks=pytest.mark.engine)]


def needs_engine(engine: str) -> pytest.MarkDecorator:
    """The mark of tests over one engine alone. They are passed over only as `adapters` leaves the engine out."""
    out = not adapters(engine=engine)
    return pytest.mark.skipif(out, reason=f"not a default engine yet: scripts/engines run --only {engine} -- …")


def address_of(engine: str) -> str:
    """Where the run's engine is. Without it the test fails: a skip here would be green by accident."""
    variable = SERVERS[engine].variable
    address = os.environ.get(variable)
    if not address:
        pytest.fail(
            f"{variable} is not set: run through scripts/engines run --only {engine} -- python -m pytest …",
            pytrace=False,
        )
    return address


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The run's Redis. Its tests share it: use key prefixes of your own."""
    return address_of("redis")


@pytest.fixture(scope="session")
def zookeeper_hosts() -> str:
    """The run's ZooKeeper. Its tests share it: use a root of your own."""
    return address_of("zookeeper")


class OwnEngine:
    """A server of one test, to be stopped and started again at the same address."""

    def __init__(self, name: str, folder: Path) -> None:
        self._server = SERVERS[name]
        if missing := self._server.missing():
            pytest.fail(f"{missing}: scripts/engines start {name} installs it", pytrace=False)
        self._folder = folder
        self._port = free_port()
        self._secret = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self.address = self._server.address(self._port, self._secret)

    def start(self) -> None:
        """Returns when it answers."""
        self._folder.mkdir(exist_ok=True)
        self._server.prepare(self._folder, self._port, self._secret)
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(self._server.command(self._folder)),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._server.is_ready(self._folder, self._port, self._secret):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self._server.name} does not start:\n{last_lines(log)}", pytrace=False)
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once; what it has on disk stays. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Lose what it has on disk."""
        shutil.rmtree(self._folder / "data", ignore_errors=True)


@pytest.fixture
def own_zookeeper(tmp_path: Path) -> Iterator[OwnEngine]:
    """A running ZooKeeper of the test's own."""
    engine = OwnEngine("zookeeper", tmp_path / "zookeeper")
    engine.start()
    yield engine
    engine.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnEngine]:
    """A running Redis of the test's own."""
    engine = OwnEngine("redis", tmp_path / "redis")
    engine.start()
    yield engine
    engine.kill()


@pytest.fixture
def own_mysql(tmp_path: Path) -> Iterator[OwnEngine]:
    """A running MySQL of the test's own."""
    engine = OwnEngine("mysql", tmp_path / "mysql")
    engine.start()
    yield engine
    engine.kill()
