"""The history checker accepts what is right and rejects made-up histories that break one promise each."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from xinyu.drill.checker import check
from xinyu.drill.history import (
    REDIS_SECONDS,
    Acked,
    AnyRecord,
    Fault,
    Forged,
    History,
    Link,
    Online,
    Read,
    Seen,
    Sent,
    Stored,
    Unread,
    Watch,
    read_lines,
)

ANN, BOB = 1, 2
COUNT = 6


def right() -> list[AnyRecord]:
    """Ann's phone says something each second; Bob's phone and page see it. Bob's page was away for a while, and a
    fault lasted from 2.5 to 3.5."""
    found: list[AnyRecord] = [
        Watch("ann", ANN, "g"),
        Watch("bob", BOB, "g"),
        Watch("page", BOB, "g"),
        Fault("kill-message", 2.5, 3.5, "pid 7 ended by signal 9"),
    ]
    for seq in range(1, COUNT + 1):
        name, at = f"m{seq}", float(seq)
        found += [Sent("ann", "g", name, at), Acked("ann", "g", name, seq, at + 0.1)]
        found += [Seen(device, "g", seq, name, at + 0.2) for device in ("ann", "bob", "page")]
        found.append(Stored("g", seq, name, ANN))
    found += [Link("page", False, 1.5), Link("page", True, 1.9)]
    found += [Unread("ann", "g", 0, 0), Unread("bob", "g", COUNT, 0), Unread("page", "g", 2, COUNT - 2)]
    return [*found, Online(ANN, True, True), Online(BOB, False, False)]


def changed(change: Callable[[AnyRecord], list[AnyRecord]], *more: AnyRecord) -> History:
    """The right history with records replaced, and some added."""
    return History([new for record in right() for new in change(record)] + list(more))


def without(kind: type, **fields: object) -> Callable[[AnyRecord], list[AnyRecord]]:
    """Leave out the records of a kind with these fields."""

    def change(record: AnyRecord) -> list[AnyRecord]:
        meant = isinstance(record, kind) and all(getattr(record, name) == value for name, value in fields.items())
        return [] if meant else [record]

    return change


def with_seen(device: str, seq: int, **fields: object) -> Callable[[AnyRecord], list[AnyRecord]]:
    """Let a device see an entry differently."""

    def change(record: AnyRecord) -> list[AnyRecord]:
        if isinstance(record, Seen) and (record.device, record.seq) == (device, seq):
            return [msgspec.structs.replace(record, **fields)]
        return [record]

    return change


def same(record: AnyRecord) -> list[AnyRecord]:
    return [record]


def twice(record: AnyRecord) -> list[AnyRecord]:
    return [record, record] if isinstance(record, Seen) and (record.device, record.seq) == ("bob", 3) else [record]


BROKEN: dict[str, tuple[History, str, str, tuple[str, ...]]] = {
    "acked, not stored": (changed(without(Stored, seq=COUNT)), "G1", "lost", ("m6",)),
    "acked as another": (changed(same, Acked("ann", "g", "m2", 4, 9.0)), "G1", "moved", ("m2",)),
    "stored twice": (changed(same, Stored("g", COUNT + 1, "m2", ANN)), "G2", "duplicated", ("m2",)),
    "two places told": (changed(same, Acked("ann", "g", "m2", 4, 9.0)), "G2", "acked as two", ("m2",)),
    "other content taken": (changed(same, Forged("bob", "g", "m2", True, 9.0)), "G2", "conflict accepted", ("m2",)),
    "a hole in the log": (changed(without(Stored, seq=3)), "G3", "gap", ()),
    "two at one place": (changed(same, Stored("g", 3, "other", BOB)), "G3", "one place for two", ("m3",)),
    "shown twice": (changed(twice), "G3", "duplicated", ("m3",)),
    "left out": (changed(without(Seen, device="bob", seq=3)), "G3", "gap", ("m3",)),
    "shown too late": (
        changed(without(Seen, device="bob", seq=3), Seen("bob", "g", 3, "m3", 7.0)),
        "G3",
        "reordered",
        ("m3",),
    ),
    "shown as another": (changed(with_seen("bob", 3, msg_id="mx")), "G3", "not in the log", ("mx",)),
    "never shown": (changed(without(Seen, device="bob", seq=COUNT)), "G4", "lost", ("m6",)),
    "late beyond the bound": (changed(with_seen("bob", COUNT, at=12.0)), "G4", "late", ("m6",)),
    "missed while away": (
        changed(without(Seen, device="page", seq=COUNT), Link("page", False, 5.5), Link("page", True, 7.0)),
        "G5",
        "lost",
        ("m6",),
    ),
    "own ones counted": (changed(same, Unread("ann", "g", COUNT, 0)), "G6", "wrong unread", ()),
    "one too few": (
        changed(same, Unread("bob", "g", COUNT - 1, 0)),
        "G6",
        "wrong unread",
        ("m2", "m3", "m4", "m5", "m6"),
    ),
    "reading forgotten": (changed(same, Read("bob", "g", COUNT - 1, 9.0)), "G6", "reading lost", ()),
    "a newer session taken away": (changed(same, Online(ANN, False, True)), "G7", "wrong presence", ()),
    "a dead session kept": (changed(same, Online(BOB, True, False)), "G7", "wrong presence", ()),
}


def test_a_right_history_is_accepted() -> None:
    verdict = check(History(right()))
    assert verdict.good, verdict.violations
    assert (verdict.acked, verdict.deliveries) == (COUNT, 3 * COUNT)
    assert verdict.recoveries == (("kill-message", pytest.approx(1.2)),)  # sent at 2, and the one of 3 shown at 3.2
    assert verdict.line() == (
        "6 acked, 18 deliveries, 1/1 faults fired, violations G1:0 G2:0 G3:0 G4:0 G5:0 G6:0 G7:0; "
        "recovery: kill-message 1.20 s"
    )


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_is_rejected_by_promise_and_ids(name: str) -> None:
    history, promise, kind, ids = BROKEN[name]
    verdict = check(history)
    assert not verdict.good
    assert (promise, kind, ids) in {(found.promise, found.kind, found.msg_ids) for found in verdict.violations}


def test_what_was_refused_and_what_was_read_are_in_order() -> None:
    refused = Forged("bob", "g", "m2", False, 9.0)
    assert check(changed(same, refused, Read("ann", "g", 0, 9.0))).good


def test_a_fault_that_never_fired_fails_the_run() -> None:
    verdict = check(changed(same, Fault("cut-link", 3.0, 4.0, "")))
    assert not verdict.good and verdict.unproved == ("cut-link",) and "1/2 faults fired" in verdict.line()


def test_nothing_said_is_no_success() -> None:
    assert not check(History()).good


def test_a_fault_and_an_absence_give_time() -> None:
    late = with_seen("bob", COUNT, at=17.0)
    assert not check(changed(late)).good
    assert check(changed(late, Fault("restart-redis", 6.5, 7.5, "a new run id", REDIS_SECONDS))).good
    assert check(changed(late, Link("bob", False, 6.0), Link("bob", True, 13.0))).good
    assert not check(changed(late, Fault("kill-message", 13.0, 14.0, "pid 8 ended by signal 9"))).good


def test_a_history_that_was_kept_reads_the_same() -> None:
    history = History(right())
    assert read_lines(history.lines().splitlines()).records == history.records
