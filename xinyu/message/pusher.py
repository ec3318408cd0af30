"""From the commit to delivery and back: hands committed entries to `DeliveryPort`, collects what was delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import msgspec

from xinyu.delivery.port import CompletionPort, DeliveryPort
from xinyu.delivery.types import Completion, Push
from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.message.store import Appended, OutboxKey
from xinyu.message.store_outbox import OutboxStore
from xinyu.telemetry.logs import get_logger, hops
from xinyu.telemetry.readings import Reading
from xinyu.telemetry.trace import adopt_shared_trace

log = get_logger(__name__)
IDLE_FLUSH_SECONDS = 1.0
SETTLED_PER_BATCH = 512
_encode = msgspec.json.Encoder().encode


class Pusher(CompletionPort):
    """Dispatches after the commit, off the sender's wait. What cannot be dispatched now stays in the outbox."""

    def __init__(
        self,
        delivery: DeliveryPort,
        outbox: OutboxStore,
        clock: Clock,
        limit: int = 20_000,
        limit_bytes: int = 64_000_000,
    ) -> None:
        """`limit`: entries that wait here for delivery to take them, and delivered ones that wait to be settled. Nor do
        more wait once they have `limit_bytes`."""
        self._delivery = delivery
        self._outbox = outbox
        self._clock = clock
        self._delivered: list[OutboxKey] = []
        self._waiting: list[Push] = []
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._waiting_bytes = 0
        self._left = 0
        self._forgotten = 0
        self._wake = asyncio.Event()
        self._settling = 0
        self._settled = asyncio.Event()
        self._forgetting = False

    @property
    def room(self) -> int:
        """How many entries more would be queued."""
        return max(0, self._limit - len(self._waiting)) if self._waiting_bytes < self._limit_bytes else 0

    def push(self, appended: Sequence[Appended]) -> None:
        """Queue committed entries, in log order per conversation. What does not fit stays in the outbox for now."""
        if len(appended) > self.room:
            self._left += len(appended)
            return
        pushes = [
            Push(
                conversation_id=a.entry.conversation_id,
                seq=a.entry.seq,
                recipients=a.recipients,
                payload=msgspec.Raw(_encode(a.entry)),
                origin_session=a.origin_session,
                trace_id=a.trace_id,
            )
            for a in appended
        ]
        self._waiting += pushes
        self._waiting_bytes += sum(len(push.payload) for push in pushes)
        self._wake.set()

    async def complete(self, completions: list[Completion]) -> None:
        fitting = completions[: max(0, self._limit - len(self._delivered))]
        self._forgotten += len(completions) - len(fitting)
        self._delivered += [(c.conversation_id, c.seq) for c in fitting]

    async def settle(self) -> bool:
        """Tell the outbox all that was delivered. False where it is away: later."""
        while self._delivered and not self._forgetting:
            try:
                with self.settling() as keys:
                    await self._outbox.settle(keys, self._clock.now_ms())
            except XinyuError as error:
                count = len(self._delivered)
                log.warning("the outbox is not told yet what was delivered", count=count, error=error.code)
                return False
        return True

    @contextmanager
    def settling(self) -> Iterator[list[OutboxKey]]:
        """Outbox rows that the transaction of the block settles. When it fails they are to be settled still."""
        if self._forgetting or not self._delivered:
            yield []
            return
        keys, self._delivered = self._delivered[:SETTLED_PER_BATCH], self._delivered[SETTLED_PER_BATCH:]
        self._settling += 1
        try:
            yield keys
        except BaseException:
            self._delivered += keys
            raise
        finally:
            self._settling -= 1
            self._settled.set()

    @contextmanager
    def settling_along(self) -> Iterator[list[OutboxKey]]:
        """The same for a transaction of sends: none where it could have to wait for them, for whoever takes left-over
        pushes up holds theirs, and a send is to wait for nothing that delivery does."""
        if self._outbox.settling_may_wait:
            yield []
            return
        with self.settling() as keys:
            yield keys

    @asynccontextmanager
    async def forgetting(self) -> AsyncIterator[None]:
        """What was reported delivered may have gone to nobody. Inside the block it is forgotten, and nothing settles:
        what did so has ended, for it would come behind what the block does to the same rows."""
        self._forgetting = True
        try:
            while self._settling:
                self._settled.clear()
                await self._settled.wait()
            self._delivered.clear()
            yield
        finally:
            self._forgetting = False

    def readings(self) -> list[Reading]:
        """For metrics."""
        return [
            ("xinyu_push_queue", "Committed entries waiting for delivery to take them.", len(self._waiting)),
            ("xinyu_push_queue_bytes", "Bytes of those entries.", self._waiting_bytes),
            (
                "xinyu_push_left_total",
                "Entries that delivery did not take at once; the outbox brings them.",
                self._left,
            ),
            (
                "xinyu_push_unsettled",
                "Delivered entries whose outbox rows are still to be settled.",
                len(self._delivered),
            ),
            (
                "xinyu_push_forgotten_total",
                "Delivered entries for which there was no room there; the outbox brings them again.",
                self._forgotten,
            ),
        ]

    async def run(self) -> None:
        """Dispatch what is pushed, settle what no transaction took along. Works for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dispatch())
            group.create_task(self._settle_when_idle())

    async def _dispatch(self) -> None:
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            pushes, self._waiting, self._waiting_bytes = self._waiting, [], 0
            adopt_shared_trace({push.trace_id for push in pushes})
            if hops.told:
                _tell(pushes)
            try:
                await self._delivery.dispatch(pushes)
            except XinyuError as error:
                # their outbox rows bring them later
                self._left += len(pushes)
                log.warning("pushes stay in the outbox for now", count=len(pushes), error=error.code)

    async def _settle_when_idle(self) -> None:
        while True:
            await self._clock.sleep(IDLE_FLUSH_SECONDS)
            await self.settle()


def _tell(pushes: Sequence[Push]) -> None:
    for push in pushes:
        log.debug(
            "push handed to delivery",
            trace_id=push.trace_id,
            conversation_id=push.conversation_id,
            seq=push.seq,
            count=len(push.recipients),
        )
