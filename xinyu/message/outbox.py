"""Left-over pushes: what a crash, an overload or a dead node left undelivered is claimed and dispatched again."""

from __future__ import annotations

from collections.abc import Sequence

from xinyu.delivery.port import Backlog
from xinyu.delivery.types import QueueState
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.kernel.ids import new_hex_id
from xinyu.message.pusher import Pusher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Appended
from xinyu.message.store_outbox import OutboxCounts, OutboxRow, OutboxStore
from xinyu.presence.port import PresencePort
from xinyu.telemetry.logs import get_logger, hops
from xinyu.telemetry.readings import Reading

log = get_logger(__name__)
CLAIM_ROWS = 500
REMOVE_ROWS = 2000
REGISTRATION_SECONDS = 2.5
"""Gateways look every second whether presence lost its memory, and register their sessions in one batch."""
MARGIN_MS = 5000
HANDED_OVER_MS = 500
"""So long after its commit an entry may be put into delivery's queue."""
NO_QUEUE = QueueState("", 0, 0, 0)


class OutboxRun:
    """Sweeps the outbox. At its start everything undelivered is adopted at once; later only what is stale
    (younger rows are on their way from memory; two deliveries of one show once)."""

    def __init__(
        self,
        store: OutboxStore,
        pusher: Pusher,
        presence: PresencePort,
        clock: Clock,
        settings: MessageSettings,
        backlog: Backlog | None = None,
    ) -> None:
        """`backlog`: where pushes wait that were handed over, when that is outside of any process."""
        self._store = store
        self._presence = presence
        self._backlog = backlog
        self._queue = NO_QUEUE
        self._incarnation = ""
        self._same_ms = 0
        self._first_ms = 0
        self._is_unsure = True
        """Whether a memory that was lost just before the first look may not have its replay yet."""
        self._pusher = pusher
        self._clock = clock
        self._settings = settings
        self._owner = new_hex_id()
        self._counts = OutboxCounts(0, 0, 0)
        self._alarmed = 0
        self._brought = 0
        self._adopted_all = False

    async def run(self) -> None:
        """Work for ever. Raises StorageUnavailable; whoever starts it again goes on where it was."""
        while True:
            await self._sweep()
            await self._clock.sleep(self._settings.outbox_sweep_seconds)

    async def _sweep(self) -> None:
        lease_ms = int(self._settings.outbox_lease_seconds * 1000)
        if await self._replay_what_presence_lost():
            if self._counts.quarantined:
                await self._give_another_chance()
            before_ms = self._before_ms()
            while await self._adopt(before_ms, lease_ms) == CLAIM_ROWS:
                pass
            self._adopted_all = True
            await self._doubt_the_beginning()
        keep_ms = int(self._settings.outbox_keep_seconds * 1000)
        while await self._store.remove_done(self._clock.now_ms() - keep_ms, REMOVE_ROWS) == REMOVE_ROWS:
            pass
        await self._count()

    async def _give_another_chance(self) -> None:
        """Rows are quarantined for what is in them, but also where nodes were out of reach for long."""
        rested_ms = self._clock.now_ms() - int(self._settings.outbox_rest_seconds * 1000)
        released = await self._store.release(rested_ms, self._settings.outbox_attempts - 1, CLAIM_ROWS)
        if released:
            log.info("one delivery more of what is quarantined", count=released)

    def _before_ms(self) -> int:
        """What was committed before then is left over: not on its way from memory, nor waiting in delivery's queue (it
        would be there twice, and use up its attempts while nobody takes it)."""
        now_ms = self._clock.now_ms()
        queued_ms = self._queue.age_ms + HANDED_OVER_MS if self._queue.depth else 0
        if not self._adopted_all:
            return now_ms + 1 - queued_ms
        return now_ms - max(int(self._settings.outbox_stale_seconds * 1000), queued_ms)

    async def _replay_what_presence_lost(self) -> bool:
        """When presence came back without its memory, entries found no sessions for a while and count as delivered:
        they are delivered again, once the gateways have had their time to register (G4); so is what delivery's queue
        lost with its memory. False while either is away: a claim then would use up an attempt, and hold its row when
        both are back."""
        now_ms = self._clock.now_ms()
        try:
            found = await self._presence.incarnation()
            if self._backlog is not None:
                self._queue = await self._backlog.backlog()
                found += f" {self._queue.incarnation}"
        except XinyuError:
            return False  # nothing counts as delivered meanwhile
        if self._incarnation not in ("", found):
            await self._clock.sleep(REGISTRATION_SECONDS)
            async with self._pusher.forgetting():
                count = await self._store.reopen(self._same_ms - MARGIN_MS)
            log.warning("presence or delivery's queue lost its memory; delivering again", count=count)
        elif not self._incarnation:
            self._first_ms = now_ms
        self._incarnation, self._same_ms = found, now_ms
        return True

    async def _doubt_the_beginning(self) -> None:
        """At its first look a process cannot tell whether presence had just lost its memory. So, once, when gateways
        have had their time to register, what was delivered since a little before counts as undelivered again; sessions
        that had it get it no more."""
        now_ms = self._clock.now_ms()
        if not self._is_unsure or not self._first_ms or now_ms - self._first_ms < REGISTRATION_SECONDS * 1000:
            return
        if not await self._pusher.settle():
            return  # at the next sweep
        async with self._pusher.forgetting():
            await self._store.reopen(self._first_ms - MARGIN_MS)
        self._is_unsure = False

    def readings(self) -> list[Reading]:
        """For metrics."""
        c = self._counts
        age = max(0, self._clock.now_ms() - c.oldest_ms) / 1000 if c.oldest_ms else 0.0
        return [
            ("xinyu_outbox_pending", "Entries not known to be delivered.", c.pending),
            ("xinyu_outbox_oldest_seconds", "Age of the oldest of them.", age),
            ("xinyu_outbox_dispatched_total", "Left-over entries that were dispatched again.", self._brought),
            ("xinyu_outbox_quarantined", "Entries given up after too many attempts.", c.quarantined),
            ("xinyu_outbox_queue_depth", "Pushes in delivery's streams (delivery.queue: redis).", self._queue.depth),
            ("xinyu_outbox_queue_age_seconds", "Age of the oldest of them.", self._queue.age_ms / 1000),
        ]

    async def _adopt(self, before_ms: int, lease_ms: int) -> int:
        most = min(CLAIM_ROWS, self._pusher.room)
        if not most:
            return 0  # a claim in vain would use up an attempt of each
        rows = await self._store.claim(
            self._owner, before_ms, lease_ms, self._clock.now_ms(), most, self._settings.outbox_attempts
        )
        if rows:
            log.info("dispatching left-over pushes", count=len(rows))
            self._brought += len(rows)
            if hops.told:
                _tell(rows)
            self._pusher.push([Appended(r.entry, r.recipients, r.origin_session, r.trace_id) for r in rows])
        return len(rows)

    async def _count(self) -> None:
        self._counts = await self._store.counts()
        if self._counts.quarantined > self._alarmed:
            log.error(
                "outbox rows are quarantined: see message_outbox where quarantined=1, and what is out of reach; they "
                "are tried now and then, and members get these entries when they reconnect",
                count=self._counts.quarantined,
            )
        self._alarmed = self._counts.quarantined


def _tell(rows: Sequence[OutboxRow]) -> None:
    for row in rows:
        log.debug(
            "left-over push dispatched",
            trace_id=row.trace_id,
            msg_id=row.entry.msg_id,
            conversation_id=row.entry.conversation_id,
            seq=row.entry.seq,
            attempts=row.attempts,
        )
