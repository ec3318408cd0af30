"""Builds of xinyu that are broken in one place each: the simulation must notice every one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from xinyu.gateway.ws.deliverer import SocketDeliverer
from xinyu.gateway.ws.housekeeping import Housekeeping
from xinyu.gateway.ws.order import PushOrder
from xinyu.kernel.ids import UserId
from xinyu.message.outbox import OutboxRun
from xinyu.message.store_sql import effects, rows
from xinyu.presence.store_memory import MemoryPresenceStore
from xinyu.presence.types import PresenceEntry


class Sabotage(NamedTuple):
    """What is switched off, what brings it to light, and which promises that breaks."""

    apply: Callable[[pytest.MonkeyPatch], None]
    faults: tuple[str, ...]
    promises: frozenset[str]


class Nothing:
    """A statement that does nothing."""

    def run_each(self, *_: Any) -> None:
        pass


def no_outbox(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "_INSERT_OUTBOX", Nothing())


def no_adoption(patch: pytest.MonkeyPatch) -> None:
    async def adopt(*_: Any) -> int:
        return 0

    patch.setattr(OutboxRun, "_adopt", adopt)


def no_ids(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "_INSERT_KEY", Nothing())
    patch.setattr(rows, "_taken", lambda *_: {})


def no_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PushOrder, "is_early", lambda *_: False)
    patch.setattr(PushOrder, "offer", lambda _self, push, _now: [push])
    patch.setattr(SocketDeliverer, "_fill", lambda self, connection, entry, _had: self._write(connection, entry, {}))


def no_replay(patch: pytest.MonkeyPatch) -> None:
    async def replay(*_: Any) -> bool:
        return True

    patch.setattr(OutboxRun, "_replay_what_presence_lost", replay)


def no_retransmission(patch: pytest.MonkeyPatch) -> None:
    async def repeat(*_: Any) -> None:
        pass

    patch.setattr(Housekeeping, "repeat_pushes", repeat)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    async def put(self: MemoryPresenceStore, entries: Any, expires_ms: int, lease_ms: int = 0) -> list[PresenceEntry]:
        for entry in entries:
            self._by_user.setdefault(entry.user_id, {})[entry.session_id] = (entry, expires_ms)
            self._user_of[entry.session_id] = entry.user_id
        return []

    patch.setattr(MemoryPresenceStore, "put", put)


def no_versions(patch: pytest.MonkeyPatch) -> None:
    def all_are_newer(self: effects._Application, conversation_id: int) -> dict[UserId, Any]:
        class Old:
            version = -1

            def __init__(self, row: Any) -> None:
                self.active = row.active
                self.accepts = row.accepts

        return {user_id: Old(row) for user_id, row in member_rows(self, conversation_id).items()}

    member_rows = effects._Application._member_rows
    patch.setattr(effects._Application, "_member_rows", all_are_newer)


def no_private_ordinals(patch: pytest.MonkeyPatch) -> None:
    row = rows.Conversation.row
    patch.setattr(rows.Conversation, "row", lambda self: {**row(self), "last_ordinal_a": 0})


SABOTAGES: dict[str, Sabotage] = {
    "outbox": Sabotage(no_outbox, ("kill-at-commit",), frozenset({"G4", "G5"})),
    "adoption": Sabotage(no_adoption, ("kill-message", "kill-presence", "cut-link"), frozenset({"G4", "G5"})),
    "ids": Sabotage(no_ids, ("kill-message", "blink", "doubtful-commits"), frozenset({"G2"})),
    "order": Sabotage(no_order, ("cut-link", "stall-link"), frozenset({"G3"})),
    "fencing": Sabotage(no_fencing, ("twin-gateway",), frozenset({"G7"})),
    "versions": Sabotage(no_versions, ("slow-database", "blink"), frozenset()),
    "retransmission": Sabotage(no_retransmission, ("swallow",), frozenset({"G4"})),
    "replay": Sabotage(no_replay, ("restart-redis",), frozenset({"G4"})),
    "private ordinals": Sabotage(no_private_ordinals, ("cut-clients",), frozenset({"G6"})),
}
