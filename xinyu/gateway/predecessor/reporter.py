"""Tells the predecessor's presence service who is connected here: best effort, beside the sockets' own work."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from xinyu.gateway.predecessor.bodies import GET_ROUTE, HEARTBEAT, SET_OFFLINE, SET_ONLINE, line, read
from xinyu.gateway.predecessor.calling import CALLS_AT_ONCE, Caller
from xinyu.gateway.predecessor.places import is_theirs
from xinyu.gateway.predecessor.route import RouteDesk
from xinyu.gateway.predecessor.settings import PredecessorSettings
from xinyu.gateway.ws.hub import Hub
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import UserId
from xinyu.presence.port import PresencePort
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
TICK_SECONDS = 0.2
PAUSE_PER_WORK = 50
"""A gateway of very many users compares them less often: 2 % of its time at the most."""
HEARTBEATS_PER_TTL = 3


class PresenceReporter:
    """Compares what was told with the hub, some times a second, and tells the differences. Nothing is queued: a user
    who comes and goes in between costs no call, and what could not be told is a difference still."""

    def __init__(
        self,
        hub: Hub,
        presence: PresencePort,
        caller: Caller,
        settings: PredecessorSettings,
        desk: RouteDesk,
        clock: Clock,
    ) -> None:
        """`desk` knows where our side takes deliveries."""
        self._hub = hub
        self._presence = presence
        self._caller = caller
        self._settings = settings
        self._desk = desk
        self._clock = clock
        self._told: dict[UserId, float] = {}
        """Users it was told of, and when; the longest ago first."""
        self._seen = (0, 0)
        self._failures = 0
        self._comparing_took = 0.0

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._clock.sleep(max(TICK_SECONDS, PAUSE_PER_WORK * self._comparing_took))
            await self.tick()

    async def tick(self) -> None:
        """Tell what has changed, and what gets too old."""
        if self._caller.resting(self._settings.presence_address):
            return
        seen = (self._hub.opened, len(self._hub))
        came, went = self._differences() if seen != self._seen else ([], [])
        old = self._told_before(self._clock.monotonic() - self._settings.ttl_seconds / HEARTBEATS_PER_TTL)
        done = (
            await self._each(lambda user_id: self._online(SET_ONLINE, user_id), came)
            and await self._each(self._offline, went)
            and await self._each(lambda user_id: self._online(HEARTBEAT, user_id), old)
        )
        if done:
            self._seen = seen

    async def leave(self) -> None:
        """This node stops: all its users are gone from it."""
        await self._each(self._offline, list(self._told))

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_predecessor_users", "Users its presence service was told of.", len(self._told)),
            ("xinyu_predecessor_report_failures_total", "Reports to it that failed.", self._failures),
        ]

    def _differences(self) -> tuple[list[UserId], list[UserId]]:
        begin = self._clock.monotonic()
        here = set(self._hub.user_ids())
        came, went = (
            [user for user in here if user not in self._told],
            [user for user in self._told if user not in here],
        )
        self._comparing_took = self._clock.monotonic() - begin
        return came, went

    def _told_before(self, then: float) -> list[UserId]:
        return [user for user, _ in itertools.takewhile(lambda told: told[1] <= then, self._told.items())]

    async def _each(self, tell: Callable[[UserId], Awaitable[None]], users: list[UserId]) -> bool:
        """Whether all were told; after a failure the others wait for the next round."""
        for start in range(0, len(users), CALLS_AT_ONCE):
            batch = users[start : start + CALLS_AT_ONCE]
            results = await asyncio.gather(*map(tell, batch), return_exceptions=True)
            failures = [result for result in results if isinstance(result, BaseException)]
            for failure in failures:
                if not isinstance(failure, XinyuError):
                    raise failure
            if failures:
                self._failures += len(failures)
                log.info(
                    "the predecessor's presence service was not told", count=len(failures), reason=str(failures[0])
                )
                return False
        return True

    async def _online(self, command: int, user_id: UserId) -> None:
        if not self._hub.of_user(user_id):
            return  # the next round tells that he went
        body = line(uid=user_id, gateway_rpc=self._desk.address, ttl_sec=self._settings.ttl_seconds)
        response = await self._caller.ask(self._settings.presence_address, command, body)
        if response.result != 200:
            log.warning("the predecessor's presence service refused a user", reason=response.result_str)
        self._told.pop(user_id, None)
        self._told[user_id] = self._clock.monotonic()

    async def _offline(self, user_id: UserId) -> None:
        """Only when none of our nodes holds him and the route is ours: he may have gone to another gateway since."""
        located = await self._presence.locate([user_id])
        if all(is_theirs(found.at) for found in located):
            service, body = self._settings.presence_address, line(uid=user_id)
            route = await self._caller.ask(service, GET_ROUTE, body)
            found = read(route.body) if route.result == 200 else None
            if found is not None and found.gateway_rpc == self._desk.address:
                await self._caller.ask(service, SET_OFFLINE, body)
        self._told.pop(user_id, None)
