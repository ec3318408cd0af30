"""Group commit: concurrent sends share one transaction.

Whatever has queued while the last transaction ran goes into the next; no timer, so an idle server adds no delay. Acks
and pushes of the one leave before the next begins. On MySQL further lanes open when a whole batch waits, or when the
transaction in flight takes long: few full batches cost less than many small ones. Batches in flight never share a
conversation.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import Category, XinyuError, code_of
from xinyu.kernel.ids import ConversationId
from xinyu.message.errors import AppenderStopped, ConversationBusy, QueueFull
from xinyu.message.pusher import Pusher
from xinyu.message.settings import MessageSettings
from xinyu.message.store import Append, Appended, Busy, LogStore, Membership, NotAccepted, Outcome, Refused, Repeated
from xinyu.telemetry.logs import get_logger
from xinyu.telemetry.readings import SECONDS, Histogram, Reading

log = get_logger(__name__)
COMMIT_UNKNOWN = "storage.commit_unknown"
"""The code of the error that a store raises when a COMMIT may or may not have happened."""
BUSY_PAUSE_SECONDS = 0.002
BUSY_SECONDS = 5.0
"""How long a message waits for a conversation that other transactions hold."""
OVERDUE_SECONDS = 0.05
"""From here on a transaction is no longer waited for by those that have nothing to do with it."""
ALARM_SECONDS = 0.001
"""At least so long until it is looked at again, lest clocks that disagree make it a busy wait."""
LEAVING_TURNS = 6
"""Turns of the event loop between two transactions where there is one lane, as on SQLite, whose statements hold up the
loop: so many until what the first has decided is on the sockets, and what has arrived there meanwhile in the queue."""
MAX_SKIPPED = 256
"""How far a lane looks for messages of other conversations than those in flight."""
RETRY_MS = 1000
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
Settled = Appended | Repeated | NotAccepted


@dataclass(slots=True, eq=False)
class _Waiting:
    item: Append
    outcome: asyncio.Future[Settled]
    size: int
    """Bytes of what it says."""
    busy_since: float | None = None


@dataclass(slots=True)
class AppendCounts:
    """What the group commit did, for metrics."""

    batches: int = 0
    stored: int = 0
    repeated: int = 0
    refused: int = 0
    failed: int = 0
    bisected: int = 0
    second_looks: int = 0
    busy: int = 0
    sizes: Histogram = field(default_factory=lambda: Histogram(BATCH_SIZES))
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))


class Appender:
    """Appends messages to the log in batches. `run` must be running."""

    def __init__(self, store: LogStore, pusher: Pusher, clock: Clock, settings: MessageSettings, lanes: int) -> None:
        self._store = store
        self._pusher = pusher
        self._clock = clock
        self._batch_size = settings.batch_size
        self._queue_size = settings.queue_size
        self._queue_bytes = settings.queue_bytes
        self._lanes = lanes
        self._turns = LEAVING_TURNS if lanes == 1 else 0
        self._queue: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._idle: deque[asyncio.Event] = deque()
        self._begun: dict[asyncio.Event, float] = {}
        """When the lanes at work began, the oldest first."""
        self._alarm: asyncio.TimerHandle | None = None
        self._in_flight: set[ConversationId] = set()
        self._known: LRUCache[ConversationId, Membership] = LRUCache(settings.conversation_cache)
        self.counts = AppendCounts()

    async def append(self, item: Append) -> Settled:
        """Store one message. Raises what refused it, QueueFull, StorageUnavailable. When the caller is cancelled the
        message may still be stored; its retry gets the receipt. Raises ConversationBusy, AppenderStopped as well."""
        if len(self._queue) >= self._queue_size or self._waiting_bytes >= self._queue_bytes:
            raise QueueFull(retry_after_ms=RETRY_MS)
        size = len(item.content.encode()) + len(item.quote.encode())
        waiting = _Waiting(item, asyncio.get_running_loop().create_future(), size)
        self._queue.append(waiting)
        self._waiting_bytes += size
        self._call_lane()
        return await waiting.outcome

    async def run(self) -> None:
        """Work for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._lanes):
                    group.create_task(self._run_lane(asyncio.Event()))
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            self._idle.clear()

    async def drained(self) -> None:
        """Return when nothing waits to be stored."""
        while self._queue:
            await asyncio.sleep(0.01)

    def readings(self) -> list[Reading]:
        """For metrics."""
        c = self.counts
        return [
            ("xinyu_message_stored_total", "Messages appended to the log.", c.stored),
            ("xinyu_message_batches_total", "Transactions of the group commit.", c.batches),
            ("xinyu_message_repeated_total", "Retries answered with the stored message.", c.repeated),
            ("xinyu_message_refused_total", "Messages refused.", c.refused),
            ("xinyu_message_failed_total", "Messages not stored because the database failed.", c.failed),
            ("xinyu_message_batch_size", "Messages of one transaction.", c.sizes),
            ("xinyu_message_batch_seconds", "Transactions of the group commit.", c.seconds),
            ("xinyu_message_bisected_total", "Batches that failed and were tried in halves.", c.bisected),
            ("xinyu_message_second_looks_total", "Batches tried again after a COMMIT in doubt.", c.second_looks),
            ("xinyu_message_busy_total", "Tries that met a conversation which others held.", c.busy),
            ("xinyu_message_queue", "Messages waiting for their transaction.", len(self._queue)),
            ("xinyu_message_queue_bytes", "Bytes of their contents and quotes.", self._waiting_bytes),
            ("xinyu_message_known_conversations", "Conversations whose members are remembered.", len(self._known)),
            ("xinyu_message_batches_in_flight", "Transactions of the group commit that run now.", len(self._begun)),
        ]

    async def _run_lane(self, wake: asyncio.Event) -> None:
        while True:
            batch = self._take()
            if not batch:
                wake.clear()
                self._idle.append(wake)
                await wake.wait()
                continue
            conversations = {waiting.item.conversation_id for waiting in batch}
            self._in_flight |= conversations
            self._begun[wake] = self._clock.monotonic()
            try:
                busy = self._still_patient(await self._store_batch(batch))
                if busy:
                    await self._clock.sleep(BUSY_PAUSE_SECONDS)
                    self._queue.extendleft(reversed(busy))
                    self._waiting_bytes += sum(waiting.size for waiting in busy)
                for _ in range(self._turns):
                    await asyncio.sleep(0)
            except BaseException:  # stopped in the middle: nobody shall wait for an answer that never comes
                _fail(batch, AppenderStopped())
                raise
            finally:
                del self._begun[wake]
                self._in_flight -= conversations

    def _call_lane(self) -> None:
        """Have what waits looked at by a lane that has nothing to do."""
        if self._queue and self._idle:
            if self._may_begin():
                self._idle.popleft().set()
            else:
                self._look_again_when_overdue()

    def _look_again_when_overdue(self) -> None:
        if self._alarm is None:
            left = next(iter(self._begun.values())) + OVERDUE_SECONDS - self._clock.monotonic()
            self._alarm = asyncio.get_running_loop().call_later(max(left, ALARM_SECONDS), self._look_again)

    def _look_again(self) -> None:
        self._alarm = None
        self._call_lane()

    def _may_begin(self) -> bool:
        """Whether a lane that has nothing to do may begin a batch."""
        if not self._begun or len(self._queue) >= self._batch_size:
            return True
        return self._clock.monotonic() - next(iter(self._begun.values())) >= OVERDUE_SECONDS

    def _take(self) -> list[_Waiting]:
        """The next batch: the oldest that wait, those left out whose conversation is in flight."""
        queue, batch = self._queue, list[_Waiting]()
        if not queue:
            return batch
        if not self._may_begin():
            self._look_again_when_overdue()
            return batch
        skipped: list[_Waiting] = []
        while queue and len(batch) < self._batch_size and len(skipped) < MAX_SKIPPED:
            waiting = queue.popleft()
            if waiting.outcome.done():  # who sent it is gone, and sends again what matters to him
                self._waiting_bytes -= waiting.size
            elif waiting.item.conversation_id in self._in_flight:
                skipped.append(waiting)
            else:
                batch.append(waiting)
                self._waiting_bytes -= waiting.size
        queue.extendleft(reversed(skipped))
        return batch

    async def _store_batch(self, batch: list[_Waiting], second_look: bool = False) -> list[_Waiting]:
        """One transaction; the items whose conversation was locked by others come back."""
        known = {} if second_look else self._known
        begin = self._clock.monotonic()
        try:
            with self._pusher.settling_along() as delivered:
                result = await self._store.append([w.item for w in batch], known, delivered, self._clock.now_ms())
        except Exception as error:
            return await self._after_failure(batch, error, second_look)
        self.counts.batches += 1
        self.counts.sizes.observe(len(batch))
        self.counts.seconds.observe(self._clock.monotonic() - begin)
        self._known.update(result.memberships)
        self._settle(batch, result.outcomes)
        return [waiting for waiting, outcome in zip(batch, result.outcomes, strict=True) if isinstance(outcome, Busy)]

    async def _after_failure(self, batch: list[_Waiting], error: Exception, second_look: bool) -> list[_Waiting]:
        """After an ambiguous COMMIT, or a clash of ids with another node, only a second look tells what is stored.
        While the database is away nobody waits for more than one try. Anything else is bisected, so that a bad item
        answers alone."""
        category = error.category if isinstance(error, XinyuError) else Category.INTERNAL
        ambiguous = category is Category.CONFLICT or (isinstance(error, XinyuError) and error.code == COMMIT_UNKNOWN)
        if ambiguous and not second_look:
            self.counts.second_looks += 1
            return await self._store_batch(batch, second_look=True)
        if len(batch) == 1 or category is Category.UNAVAILABLE:
            if category is Category.INTERNAL:
                item = batch[0].item
                log.error(
                    "a message could not be stored",
                    trace_id=item.trace_id,
                    uid=item.sender_id,
                    msg_id=item.msg_id,
                    conversation_id=item.conversation_id,
                    error=code_of(error),
                    exc_info=error,
                )
            self.counts.failed += len(batch)
            _fail(batch, error)
            return []
        self.counts.bisected += 1
        middle = len(batch) // 2
        return [
            *await self._store_batch(batch[:middle], second_look),
            *await self._store_batch(batch[middle:], second_look),
        ]

    def _still_patient(self, busy: list[_Waiting]) -> list[_Waiting]:
        """Those that wait on for a conversation which others hold; the rest are told."""
        now = self._clock.monotonic()
        patient = []
        self.counts.busy += len(busy)
        for waiting in busy:
            if waiting.busy_since is None:
                waiting.busy_since = now
            if now - waiting.busy_since < BUSY_SECONDS:
                patient.append(waiting)
            else:
                self.counts.failed += 1
                _fail([waiting], ConversationBusy(retry_after_ms=RETRY_MS))
        return patient

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        appended: list[Appended] = []
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Busy):
                continue
            if isinstance(outcome, Appended):
                self.counts.stored += 1
                appended.append(outcome)
            elif isinstance(outcome, Repeated):
                self.counts.repeated += 1
            if waiting.outcome.done():  # the caller left
                continue
            if isinstance(outcome, Refused):
                self.counts.refused += 1
                waiting.outcome.set_exception(outcome.error)
            else:
                waiting.outcome.set_result(outcome)
        if appended:
            self._pusher.push(appended)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.outcome.done():
            waiting.outcome.set_exception(error)
