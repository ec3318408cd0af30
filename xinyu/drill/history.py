"""What is written down during a drill: by each client, by whoever injects the faults, and at the end from the log.

Times are seconds of one clock. A conversation has any name that is the same for all its members.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")
G4_SECONDS = 5.0
"""Within this time of the end of a fault a connected device has everything that was acked."""
REDIS_SECONDS = 10.0
"""The same after Redis came back empty."""


class Record(msgspec.Struct, frozen=True, tag_field="record"):
    """Base of all records."""


class Watch(Record, frozen=True, tag="watch"):
    """A device of this user is to see every entry of a conversation after `after`."""

    device: str
    uid: int
    conversation: str
    after: int = 0


class Sent(Record, frozen=True, tag="sent"):
    """A device began to send, or to send again, a message."""

    device: str
    conversation: str
    msg_id: str
    at: float


class Acked(Record, frozen=True, tag="acked"):
    """A device got the reply to its send."""

    device: str
    conversation: str
    msg_id: str
    seq: int
    at: float


class Forged(Record, frozen=True, tag="forged"):
    """The id of an acked message was sent again with other content, or by another user; whether that was acked."""

    device: str
    conversation: str
    msg_id: str
    accepted: bool
    at: float


class Read(Record, frozen=True, tag="read"):
    """A device got the reply to marking everything up to an entry as read."""

    device: str
    conversation: str
    seq: int
    at: float


class Seen(Record, frozen=True, tag="seen"):
    """A device showed an entry. The order of these records is the order in which it showed them."""

    device: str
    conversation: str
    seq: int
    msg_id: str
    at: float


class Link(Record, frozen=True, tag="link"):
    """A device's connection came up or went down. It is up from the start unless its first record says `up`."""

    device: str
    up: bool
    at: float


class Unread(Record, frozen=True, tag="unread"):
    """After quiescence a device shows so many unread, its user having read up to `read_seq`."""

    device: str
    conversation: str
    count: int
    read_seq: int


class Online(Record, frozen=True, tag="online"):
    """After quiescence others see this user so; `connected` is whether a device of his is."""

    uid: int
    shown: bool
    connected: bool


class Fault(Record, frozen=True, tag="fault"):
    """Something was broken on purpose, and what shows that it was; an empty proof says that it never took effect."""

    name: str
    began: float
    ended: float
    proof: str
    bound: float = G4_SECONDS
    """How long after its end deliveries may be late."""


class Stored(Record, frozen=True, tag="stored"):
    """An entry of the log, as it is read after quiescence. `counts`: it is one that badges count."""

    conversation: str
    seq: int
    msg_id: str
    from_id: int
    counts: bool = True


AnyRecord = Watch | Sent | Acked | Forged | Read | Seen | Link | Unread | Online | Fault | Stored


class History:
    """The records of a run, in the order in which they were written down."""

    def __init__(self, records: Iterable[AnyRecord] = ()) -> None:
        self.records: list[AnyRecord] = list(records)

    def add(self, record: AnyRecord) -> None:
        """Write one down."""
        self.records.append(record)

    def of(self, kind: type[T]) -> list[T]:
        """All records of a kind."""
        return [record for record in self.records if isinstance(record, kind)]

    def lines(self) -> bytes:
        """As JSON lines, to be kept."""
        return b"".join(msgspec.json.encode(record) + b"\n" for record in self.records)


def read_lines(lines: Sequence[bytes]) -> History:
    """A history that was kept. Raises msgspec.DecodeError."""
    return History(msgspec.json.decode(line, type=AnyRecord) for line in lines if line.strip())
