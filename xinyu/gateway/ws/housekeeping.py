"""What a gateway does beside its sockets: renews leases, stores cursors, repeats pushes, closes the silent ones and
those whose login has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from xinyu.gateway.ports import Ports
from xinyu.gateway.settings import GatewaySettings
from xinyu.gateway.ws.close_codes import CloseCode
from xinyu.gateway.ws.frames import event_frame
from xinyu.gateway.ws.hub import Hub
from xinyu.gateway.ws.sessions.opening import Sessions
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.presence.types import NodeRef
from xinyu.storage.errors import StorageUnavailable
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
TRIES_BEFORE_CLOSE = 10
SWEEP_OVERLAP_MS = 30_000
"""How much later an end may be seen than its time says: a slow commit, or a `user` process whose clock is behind."""
FIRST_SWEEP_MS = 600_000
"""How far back the first sweep looks: our clock may be so much ahead of theirs. From then on theirs counts."""
IDLE_CHECK_SECONDS = 5.0
RETRANSMIT_CHECK_SECONDS = 1.0
PRESENCE_CHECK_SECONDS = 1.0
REPLAY_SECONDS = 2.0
"""So long after presence has lost its memory nothing is delivered again, so that gateways can register before it
(message/outbox.py waits half a second longer)."""


class Housekeeping:
    """The background work of a WebSocket gateway."""

    def __init__(
        self,
        settings: GatewaySettings,
        hub: Hub,
        sessions: Sessions,
        ports: Ports,
        clock: Clock,
        here: NodeRef,
        renew_seconds: float,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._sessions = sessions
        self._ports = ports
        self._clock = clock
        self._here = here
        self._renew_seconds = renew_seconds
        self._swept_to_ms = clock.now_ms() - FIRST_SWEEP_MS
        self._incarnation = ""
        self._known_at = clock.monotonic()
        """Since then at the earliest presence has been another one."""

    async def run(self) -> None:
        """Work for ever."""
        settings = self._settings
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(self._renew_seconds, self.renew_presence))
            group.create_task(self._every(PRESENCE_CHECK_SECONDS, self.notice_lost_presence))
            group.create_task(self._every(settings.cursor_flush_seconds, self.store_cursors))
            group.create_task(self._every(settings.revocation_sweep_seconds, self.close_ended_logins))
            group.create_task(self._every(RETRANSMIT_CHECK_SECONDS, self.repeat_pushes))
            group.create_task(self._every(IDLE_CHECK_SECONDS, self.close_silent))

    async def renew_presence(self) -> None:
        """Extend the leases of all sessions, in one batch."""
        await self._sessions.renew(self._here)

    async def notice_lost_presence(self) -> None:
        """Register all sessions again at once when presence has lost its memory (a Redis that came back empty), or was
        away for long."""
        begin = self._clock.monotonic()
        try:
            found = await self._ports.presence.incarnation()
        except XinyuError as error:  # the renewal says so
            if error.code == StorageUnavailable.code:  # nobody has met another one yet
                self._known_at = begin
            return
        if self._incarnation != found:  # at the first look too: sessions may have come before it
            if self._incarnation:
                log.warning("presence lost its memory; registering all sessions again", count=len(self._hub))
            await self._sessions.renew(self._here, by=self._known_at + REPLAY_SECONDS)
        elif self._sessions.renewal_is_overdue:
            await self.renew_presence()
        self._incarnation, self._known_at = found, begin
        await self._sessions.register_late()

    async def store_cursors(self) -> None:
        """Store what devices acknowledged."""
        await self._sessions.store_cursors(self._hub)

    async def close_ended_logins(self) -> None:
        """Close sockets whose login was ended on another node, or whose token has run out (G11)."""
        now_ms = self._clock.now_ms()
        since_ms = newest_ms = self._swept_to_ms - SWEEP_OVERLAP_MS
        while page := await self._ports.logins.list_ended_since(since_ms):
            for ended in page:
                for connection in self._hub.of_user(ended.user_id):
                    if connection.session.caller.login_id == ended.login_id:
                        connection.close(CloseCode.LOGIN_ENDED, "login ended")
            newest_ms = page[-1].ended_ms
            if newest_ms <= since_ms:
                break
            since_ms = newest_ms
        self._swept_to_ms = max(self._swept_to_ms, min(newest_ms, now_ms))
        for connection in self._hub:
            if connection.session.caller.expires_at * 1000 <= now_ms:
                connection.close(CloseCode.LOGIN_ENDED, "login ended")

    async def repeat_pushes(self) -> None:
        """Send again what was not acknowledged in time."""
        now = self._clock.monotonic()
        for connection in self._hub:
            session = connection.session
            if not session.unacked_count or connection.queue.queued_frames:
                continue  # nothing to repeat, or what is to be repeated has perhaps not left yet
            due = session.due(now, self._settings.retransmit_seconds, TRIES_BEFORE_CLOSE)
            if due is None:
                connection.close(CloseCode.NO_ACKS, "pushes stay unacknowledged: reconnect")
            for frame in due or ():
                if not connection.put(frame):
                    break

    async def close_silent(self) -> None:
        """Close sockets that nothing was heard from."""
        oldest = self._clock.monotonic() - self._settings.heartbeat_seconds
        for connection in self._hub:
            if connection.session.heard_at < oldest:
                connection.close(CloseCode.IDLE, "no heartbeat")

    async def drain(self, seconds: float) -> None:
        """Send all sessions away, evenly over `seconds`, so that no moment has more than its share of reconnects; each
        is delivered to until it is gone (G9)."""
        self._hub.is_draining = True
        leaving = list(self._hub)
        random.shuffle(leaving)
        step = seconds / max(1, len(leaving))
        delays = {connection: (turn + random.random()) * step for turn, connection in enumerate(leaving)}
        for connection in leaving:
            connection.put(event_frame("server.drain", {"delay_ms": int(delays[connection] * 1000)}))
        begin = self._clock.monotonic()
        for connection in leaving:
            wait = begin + delays[connection] - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            connection.close(CloseCode.DRAIN, "the node is leaving: reconnect")
        await self._every_one_gone()

    async def _every_one_gone(self) -> None:
        for _ in range(100):
            if not len(self._hub):
                return
            await self._clock.sleep(0.02)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(seconds)
            try:
                await work()
            except XinyuError as error:
                log.warning("housekeeping is put off: a service is away", run=work.__name__, error=error.code)
