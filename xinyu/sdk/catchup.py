"""What was missed: sync after each connection, gaps read from the log, acknowledgements and cursors that persist.

What it relies on beyond CONTRACT.md 2.6: `sync` lists a conversation that is not named by a cursor with its `last_seq`,
and with limit 0 all of them, each with the `cursor` that the server keeps of this device; entries in a page are
ascending; a history page with `more` false holds every readable entry that was committed before it was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from typing import Literal, TypeVar

import msgspec

from xinyu.kernel.clock import Clock
from xinyu.kernel.errors import XinyuError
from xinyu.sdk.backoff import Backoff
from xinyu.sdk.cursors import CursorStore
from xinyu.sdk.errors import ApiError, ContractViolation, is_temporary
from xinyu.sdk.inbox import Inbox
from xinyu.sdk.socket import Socket
from xinyu.sdk.types import Hello, Message, Record, RecordPage, SyncItem, SyncPage, Talk, Tuning

T = TypeVar("T")
History = Literal["none", "all", "resume"] | int

log = logging.getLogger("xinyu.sdk")


class _Push(msgspec.Struct):
    to_from_id: int
    talk_mode: int
    talk_id: int
    body: Record


class CatchUp:
    """Feeds an `Inbox`, and tells server and store what was taken from it."""

    def __init__(
        self, socket: Socket, store: CursorStore, device: str, history: History, tuning: Tuning, clock: Clock
    ) -> None:
        """`device` names the cursors in `store`; `history`: see `Client`."""
        self.inbox = Inbox(tuning.hold_per_conversation, tuning.hold_total, self._wanted)
        self._socket = socket
        self._store = store
        self._device = device
        self._history = history
        self._tuning = tuning
        self._clock = clock
        self._uid = 0
        self._owner: str | None = None
        self._since_ms: int | None = None
        self._acked: dict[int, int] = {}  # told last; an ack has no reply, so it is repeated on a new connection
        self._fills: dict[int, asyncio.Task[None]] = {}
        self._reading = asyncio.Semaphore(4)
        self._live = False  # this connection is synchronised
        self._resync: asyncio.Task[None] | None = None
        self._again = False  # since the synchronisation that is under way began, there is more to look for

    def pushed(self, payload: msgspec.Raw) -> None:
        """An `im.message` push. Raises msgspec.DecodeError or ContractViolation."""
        push = msgspec.json.decode(payload, type=_Push)
        if push.talk_id <= 0 or push.body.sequence <= 0:
            raise ContractViolation("a log entry without talk_id or sequence")
        self.inbox.put(push.body.message(Talk(push.talk_mode, push.to_from_id), push.talk_id, self._uid))

    async def connected(self, hello: Hello) -> None:
        """A new connection: place the conversations if it is the very first, synchronise, go live."""
        self._uid = hello.uid
        if self._owner is None:
            await self._begin(f"{hello.uid}/{self._device}")
        self.inbox.unchanged(list(self._acked))
        self._again = False
        await self._sync()
        self._live = True
        if self._again:
            self.refresh()
        self._look_around()

    def disconnected(self) -> None:
        """Nothing is asked until the next connection is synchronised."""
        self._live = False
        for task in (*self._fills.values(), *([self._resync] if self._resync else [])):
            task.cancel()
        self._fills.clear()
        self._resync = None

    def refresh(self) -> None:
        """Synchronise again in the background, for entries that are not pushed to this session; after the
        synchronisation that is under way, which may have passed them by."""
        self._again = True
        if self._live and self._resync is None:
            self._resync = asyncio.create_task(self._sync_again())

    # Where to begin.

    async def _begin(self, owner: str) -> None:
        saved = await self._store.load(owner)
        if isinstance(self._history, int):
            self._since_ms = self._history
        if saved is not None:
            self.inbox.restore(saved)
        elif self._history in ("none", "resume"):
            await self._place(at_heads=self._history == "none")
        self._owner = owner
        await self._store.save(owner, self.inbox.cursors)  # from now on it is known that this device has connected

    async def _place(self, at_heads: bool) -> None:
        """Begin every conversation at its head, or where the server's cursor of this device is: a `sync` with limit 0
        tells both."""
        page = await self._ask("sync", {"limit": 0}, SyncPage)
        for item in page.items:
            self.inbox.note(item.talk_id, _talk(item), item.last_seq)
            self.inbox.begin(item.talk_id, item.last_seq if at_heads else item.cursor)

    # Synchronising.

    async def _sync(self) -> None:
        unplaced = self.inbox.unplaced
        named = self.inbox.frontiers
        async for item, after in self._pages(named):
            self._apply(item, after)
        for talk_id in unplaced:  # pushed to, yet not listed: from its first push
            self.inbox.begin(talk_id, 0 if self._history == "all" else None)

    async def _pages(self, named: Mapping[int, int]) -> AsyncIterator[tuple[SyncItem, int | None]]:
        """All pages of `sync`, each item with the cursor it was asked by. A conversation with `more` is read on by
        `message.history`, as the reader gets there."""
        cursors = dict(named)
        while True:
            payload: dict[str, object] = {"cursors": {str(talk_id): seq for talk_id, seq in cursors.items()}}
            if self._since_ms is not None:
                payload["since_ms"] = self._since_ms
            page = await self._ask("sync", payload, SyncPage)
            before = dict(cursors)
            for item in page.items:
                yield item, before.get(item.talk_id)
                cursors[item.talk_id] = max(cursors.get(item.talk_id, 0), item.last_seq)
            if not page.more:
                return
            if cursors == before:
                raise ContractViolation("sync says there is more, but gives nothing new")

    def _apply(self, item: SyncItem, after: int | None) -> None:
        messages = [record.message(_talk(item), item.talk_id, self._uid) for record in item.messages]
        if after is None:
            after = messages[0].seq - 1 if messages else item.last_seq
        self.inbox.note(item.talk_id, _talk(item), item.last_seq)
        self.inbox.begin(item.talk_id, after)
        if messages:
            # Not up to last_seq: the page and last_seq need not be of one moment. A rest becomes a gap.
            self.inbox.page(item.talk_id, after, messages, messages[-1].seq)

    async def _sync_again(self) -> None:
        backoff = self._backoff()
        while self._again:
            self._again = False
            try:
                await self._sync()
            except XinyuError as error:
                log.warning("synchronising failed: %s", error)
                if not is_temporary(error):
                    break  # the next connection tries again, or says what is wrong
                self._again = True
                await self._clock.sleep(backoff.next_delay(error.retry_after_ms))
        for talk_id in self.inbox.unplaced:
            self.inbox.begin(talk_id, None)
        self._resync = None
        self._look_around()

    def _look_around(self) -> None:
        for talk_id in self.inbox.conversations:
            self.inbox.look_at(talk_id)

    # Gaps.

    def _wanted(self, talk_id: int) -> None:
        if not self._live:
            return
        if talk_id in self.inbox.unplaced:
            if self._resync is None:
                self.refresh()
        elif talk_id not in self._fills:
            self._fills[talk_id] = asyncio.create_task(self._fill(talk_id))

    async def _fill(self, talk_id: int) -> None:
        backoff = self._backoff()
        try:
            if self.inbox.waits_behind_gap(talk_id):
                await self._clock.sleep(self._tuning.gap_grace_seconds)
            while self.inbox.gap(talk_id) is not None:
                try:
                    async with self._reading:
                        await self._read(talk_id)
                    backoff.reset()
                except XinyuError as error:
                    if not is_temporary(error):
                        raise
                    await self._clock.sleep(backoff.next_delay(error.retry_after_ms))
        except XinyuError as error:
            log.warning("conversation %d cannot be read: %s", talk_id, error)
        finally:
            if self._fills.get(talk_id) is asyncio.current_task():
                del self._fills[talk_id]

    async def _read(self, talk_id: int) -> None:
        gap = self.inbox.gap(talk_id)
        if gap is None:
            return
        talk = self.inbox.talk(talk_id)
        ask = {**talk.fields(), "after": gap.after, "limit": self._tuning.page}
        try:
            page = await self._ask("message.history", ask, RecordPage)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            page = RecordPage([], more=False)  # no longer readable for this user: nothing is missing
        messages: list[Message] = [record.message(talk, talk_id, self._uid) for record in page.items]
        if page.more and not messages:
            raise ContractViolation("history says there is more, but gives nothing")
        last = messages[-1].seq if messages else gap.after
        # The target was committed before we asked, so what the last page leaves out up to there is not for us.
        self.inbox.page(talk_id, gap.after, messages, last if page.more else max(gap.target, last))

    async def _ask(self, event: str, payload: Mapping[str, object], kind: type[T]) -> T:
        return await self._socket.ask(event, payload, kind, self._tuning.request_seconds)

    def _backoff(self) -> Backoff:
        return Backoff(self._tuning.backoff_base_seconds, self._tuning.backoff_cap_seconds, random.Random())

    # Acknowledging.

    async def ack(self) -> None:
        """Acknowledge and save what was taken since the last time."""
        changed = self.inbox.changed()
        if not changed or self._owner is None:
            return
        try:
            await self._store.save(self._owner, self.inbox.cursors)
        except OSError:
            log.exception("cursors cannot be saved")
        if await self._socket.tell(
            {"event": "ack", "cursors": {str(talk_id): seq for talk_id, seq in changed.items()}}
        ):
            self._acked = changed
        else:
            self.inbox.unchanged(list(changed))

    async def keep_acking(self) -> None:
        """Acknowledge every `ack_seconds` while there is something new, until cancelled."""
        while True:
            await self._clock.sleep(self._tuning.ack_seconds)
            await self.ack()


def _talk(item: SyncItem) -> Talk:
    return Talk(item.talk_mode, item.to_from_id)
