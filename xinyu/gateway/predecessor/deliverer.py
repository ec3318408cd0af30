"""Pushes of ours to users at the predecessor's gateways: presented as for web clients, one 101 for each event."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import msgspec
from cachetools import LRUCache

from xinyu.delivery.port import DelivererPort
from xinyu.delivery.types import CloseOrder, NodePush, NodeSignal, Receipt
from xinyu.gateway.names import Names
from xinyu.gateway.predecessor.bodies import DELIVER_TO_USER
from xinyu.gateway.predecessor.calling import Caller
from xinyu.gateway.present.message import with_names
from xinyu.gateway.present.push import frames_for, variant_of
from xinyu.gateway.present.signal import signal_frame
from xinyu.gateway.present.times import LocalTimes
from xinyu.kernel.ids import UserId
from xinyu.message.types import Entry
from xinyu.telemetry.logs import get_logger

log = get_logger(__name__)
REMEMBERED_EVENTS = 20_000
REMEMBERED_GATEWAYS = 256
_decode_entry = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode
EventKey = tuple[int, int, UserId, int]
"""(conversation, seq, user, which of the entry's events)."""


class _Event(msgspec.Struct):
    """A frame as we would send it. Its `ackid` is left out: that gateway takes no acks."""

    event: str
    payload: msgspec.Raw


class _DeliverToUser(msgspec.Struct):
    uid: UserId
    event: str
    payload: msgspec.Raw


class _Outgoing(NamedTuple):
    key: EventKey
    body: bytes
    trace_id: str


_decode_event = msgspec.json.Decoder(_Event).decode


class PredecessorGateways:
    """The gateways that there are, as far as we deliver to them."""

    def __init__(self, caller: Caller, names: Names, times: LocalTimes) -> None:
        self.caller = caller
        self.names = names
        self.times = times
        self._deliverers: dict[str, PredecessorDeliverer] = {}

    def deliverer_at(self, address: str) -> DelivererPort:
        """The gateway at "ip:port"."""
        found = self._deliverers.get(address)
        if found is None:
            if len(self._deliverers) >= REMEMBERED_GATEWAYS:  # gateways come and go
                self._deliverers.clear()
            found = self._deliverers[address] = PredecessorDeliverer(self, address)
        return found


class PredecessorDeliverer(DelivererPort):
    """One of its gateways. It says nothing of sessions that are gone, knows no order and no repetition; so events of a
    user follow one another, and those that it took are remembered here and not sent again."""

    def __init__(self, gateways: PredecessorGateways, address: str) -> None:
        self._gateways = gateways
        self._address = address
        self._taken: LRUCache[EventKey, bool] = LRUCache(REMEMBERED_EVENTS)

    async def deliver(self, pushes: list[NodePush]) -> Receipt:
        """Raises Unavailable or DeadlineExceeded when it took not all; what it took stays taken."""
        entries = await with_names([_decode_entry(push.payload) for push in pushes], self._gateways.names)
        outgoing: dict[UserId, list[_Outgoing]] = {}
        for push, entry in zip(pushes, entries, strict=True):
            variants: dict[Hashable, list[_Event]] = {}
            for user_id in dict.fromkeys(target.user_id for target in push.sessions):
                events = self._events(entry, user_id, variants)
                outgoing.setdefault(user_id, []).extend(
                    _Outgoing((push.conversation_id, push.seq, user_id, number), _body(user_id, event), push.trace_id)
                    for number, event in enumerate(events)
                )
        await self._bring(outgoing)
        return Receipt()

    async def signal(self, signals: list[NodeSignal]) -> None:
        calls = []
        for signal in signals:
            for user_id in dict.fromkeys(target.user_id for target in signal.sessions):
                frame = signal_frame(signal.name, signal.payload, user_id)
                if frame is not None:
                    calls.append(self._call(_body(user_id, _decode_event(frame)), ""))
        await asyncio.gather(*calls)

    async def close_sessions(self, order: CloseOrder) -> None:
        """Nothing: it has no such command. Its sockets outlive their login (ADR 14)."""

    def _events(self, entry: Entry, user_id: UserId, variants: dict[Hashable, list[_Event]]) -> list[_Event]:
        key = variant_of(entry, user_id, sync=False)
        events = variants.get(key)
        if events is None:
            frames = frames_for(entry, user_id, False, self._gateways.times)
            events = variants[key] = [_decode_event(frame) for frame in frames]
        return events

    async def _bring(self, outgoing: dict[UserId, list[_Outgoing]]) -> None:
        """Users at once, each one's events in order. One user's trouble does not keep the others from theirs."""
        calls = (self._bring_one(events) for events in outgoing.values())
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _bring_one(self, events: Sequence[_Outgoing]) -> None:
        for key, body, trace_id in events:
            if key not in self._taken:
                await self._call(body, trace_id)
                self._taken[key] = True

    async def _call(self, body: bytes, trace_id: str) -> None:
        response = await self._gateways.caller.ask(self._address, DELIVER_TO_USER, body, trace_id)
        if response.result != 200:  # it would say the same again
            log.warning("a gateway of the predecessor refused an event", address=self._address, result=response.result)


def _body(user_id: UserId, event: _Event) -> bytes:
    return _encode(_DeliverToUser(user_id, event.event, event.payload))
