"""What delivery after the commit needs of its storage. Every method but `claim` is one unit of work: whole or
not at all."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import msgspec

from xinyu.kernel.ids import SessionId, UserId
from xinyu.message.store import OutboxKey
from xinyu.message.types import Entry


class OutboxRow(msgspec.Struct, frozen=True):
    """A left-over push: the entry and who was a member at its seq."""

    entry: Entry
    recipients: list[UserId]
    origin_session: SessionId | None
    attempts: int
    trace_id: str


class OutboxCounts(msgspec.Struct, frozen=True):
    """The state of the outbox."""

    pending: int
    oldest_ms: int
    quarantined: int


class OutboxStore(abc.ABC):
    """Pushes that are not known to have arrived."""

    @property
    @abc.abstractmethod
    def settling_may_wait(self) -> bool:
        """Whether rows to be settled may be held by transactions of others, so that a send must not take them along."""

    @abc.abstractmethod
    async def settle(self, keys: Sequence[OutboxKey], now_ms: int) -> None:
        """These were delivered: their rows are kept for replay, or removed where nothing could need one."""

    @abc.abstractmethod
    async def claim(
        self, owner: str, created_before_ms: int, lease_ms: int, now_ms: int, limit: int, max_attempts: int
    ) -> list[OutboxRow]:
        """Take over undelivered rows that nobody holds, oldest first per conversation, counting an attempt; rows over
        `max_attempts` are quarantined instead. Two units of work: they are read when they are taken and free of locks,
        and where that fails they come again when their lease is over."""

    @abc.abstractmethod
    async def reopen(self, done_after_ms: int) -> int:
        """Count entries delivered since then as undelivered again, as far as their rows are kept; how many. Claims
        end: what they were dispatched to may have lost them."""

    @abc.abstractmethod
    async def release(self, quarantined_before_ms: int, attempts: int, limit: int) -> int:
        """Take rows out of the quarantine that went there before then, as if `attempts` had been made; how many."""

    @abc.abstractmethod
    async def remove_done(self, done_before_ms: int, limit: int) -> int:
        """Delete delivered rows; how many."""

    @abc.abstractmethod
    async def counts(self) -> OutboxCounts:
        """For metrics and alarms."""
