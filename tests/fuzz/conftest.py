"""One process for all fuzzers; while they work, two people talk over it, and it may not grow, complain or tell."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest

from testkit.fuzz_probes import HttpProbe, SocketProbe, exchange
from testkit.fuzz_target import FuzzTarget, target
from testkit.hostile import noise
from testkit.people import G4_SECONDS, Town, shows
from testkit.placement import Placement, standing
from testkit.requests import OPEN_ROUTES, ROUTES
from xinyu.kernel.ids import new_hex_id

MEMORY_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="session")
def placement(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placement]:
    with standing(target(tmp_path_factory.mktemp("fuzz"))) as found:
        yield found


@pytest.fixture(scope="session")
def fuzzed(placement: Placement) -> FuzzTarget:
    """The process, when pools and caches have filled once."""
    [node] = placement.nodes.values()
    assert isinstance(node, FuzzTarget)
    for bytes_ in noise(30):
        for name in ("http", "ws", "admin"):
            exchange(str(node.addresses[name]), bytes_)
    warm = HttpProbe(placement.http)
    for path in (*ROUTES, *OPEN_ROUTES):
        warm.ask(f"/api/v1/{path}")
    warm.close()
    return node


@pytest.fixture(scope="session")
def base_bytes(fuzzed: FuzzTarget) -> int:
    """Its memory at the start."""
    return fuzzed.rss_bytes


class Talk:
    """Two people who talk all the time; every message must be shown within what G4 allows."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._stop = threading.Event()
        self._trouble: BaseException | None = None
        self._shown = 0
        self._thread = threading.Thread(target=self._run, name="talk")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self.check()

    def check(self) -> None:
        """Nobody missed anything so far."""
        if self._trouble is not None:
            raise self._trouble

    def goes_on(self) -> None:
        """Wait until one message more was sent, since this was called, and shown."""
        wanted, end = self._shown + 2, time.monotonic() + 2 * G4_SECONDS
        while self._shown < wanted:
            self.check()
            assert time.monotonic() < end, "healthy clients are not served"
            time.sleep(0.01)

    def _run(self) -> None:
        try:
            asyncio.run(self._talk())
        except BaseException as error:
            self._trouble = error

    async def _talk(self) -> None:
        async with Town(self._placement) as town:
            ann, bob = await town.people("Ann", "Bob")
            phone, desk, page = await ann.device(), await bob.device(), await bob.page()
            while not self._stop.is_set():
                text = new_hex_id()
                await phone.client.send_text(bob.talk, text)
                await shows(desk, ann.talk, [text])
                await shows(page, ann.talk, [text])
                self._shown += 1
                await asyncio.sleep(0.1)
            town.check()


@pytest.fixture(scope="session")
def talk(placement: Placement) -> Iterator[Talk]:
    with Talk(placement) as found:
        yield found


@pytest.fixture(autouse=True)
def unharmed(fuzzed: FuzzTarget, talk: Talk, base_bytes: int) -> Iterator[None]:
    """What must hold of the process when a fuzzer has done its work, and of those who talked meanwhile."""
    pid, read, complaints = fuzzed.pid, len(fuzzed.log), len(fuzzed.complaints())
    yield
    talk.goes_on()
    assert fuzzed.running and fuzzed.pid == pid
    assert fuzzed.complaints()[complaints:] == []
    told = [name for name, secret in fuzzed.secrets.items() if secret in fuzzed.log[read:]]
    assert not told, f"the log tells {told}"
    grown = fuzzed.rss_bytes - base_bytes
    assert grown < MEMORY_BYTES, f"{grown / 2**20:.0f} MB more than at the start"


@pytest.fixture(scope="session")
def token(placement: Placement) -> str:
    """Of Eve, who is up to no good."""

    async def log_in() -> str:
        async with Town(placement) as town:
            return await (await town.person("Eve")).log_in()

    return asyncio.run(log_in())


@pytest.fixture
def eve(placement: Placement, token: str) -> Iterator[HttpProbe]:
    """Her REST connection."""
    probe = HttpProbe(placement.http, token)
    yield probe
    assert probe.ask("/api/v1/user/detail").status == 200
    probe.close()


@pytest.fixture
def socket(placement: Placement, token: str) -> Iterator[SocketProbe]:
    """Her socket."""
    probe = SocketProbe(placement.ws, token=token, sync="1")
    yield probe
    probe.close()
