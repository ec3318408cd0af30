"""One conversation of the SDK against a model of the log: each readable entry once, in order, whatever comes how."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from xinyu.sdk.ordering import Gap, Sequencer


@dataclass
class Log:
    """The server's side: a dense log of which some numbers are not readable for this member."""

    readable: list[bool]
    length: int = 0

    def grow(self, by: int) -> None:
        self.length = min(self.length + by, len(self.readable))

    def entries(self, after: int) -> list[int]:
        return [seq for seq in range(after + 1, self.length + 1) if self.readable[seq - 1]]

    def page(self, gap: Gap, limit: int) -> tuple[list[int], bool]:
        found = self.entries(gap.after)
        return found[:limit], len(found) > limit


@dataclass
class Device:
    """A reader of the log. Pages are asked for at one moment and answered at another, when the log has grown."""

    line: Sequencer[int]
    seen: list[int] = field(default_factory=list)
    asked: Gap | None = None

    def ask(self) -> None:
        self.asked = self.asked or self.line.gap()

    def answer(self, log: Log, limit: int) -> None:
        if self.asked is None:
            return
        gap, self.asked = self.asked, None
        items, more = log.page(gap, limit)
        last = items[-1] if items else gap.after
        self.line.page(gap.after, [(seq, seq) for seq in items], last if more else max(gap.target, last))

    def take(self) -> bool:
        entry = self.line.pop()
        if entry is not None:
            self.seen.append(entry)
        return entry is not None


steps = st.lists(
    st.tuples(st.sampled_from(["grow", "push", "push", "push", "ask", "answer", "take", "sync"]), st.integers(0, 30)),
    max_size=120,
)


@settings(max_examples=400, deadline=None)
@given(
    readable=st.lists(st.booleans() | st.just(True), min_size=1, max_size=40),
    start=st.integers(0, 10),
    room=st.integers(1, 8),
    limit=st.integers(1, 6),
    steps=steps,
)
def test_each_readable_entry_once_and_in_order(
    readable: list[bool], start: int, room: int, limit: int, steps: list[tuple[str, int]]
) -> None:
    log = Log(readable)
    log.grow(start)
    start = log.length
    device = Device(Sequencer(start, room))
    for step, number in steps:
        if step == "grow":
            log.grow(number % 5 + 1)
        elif step == "push":
            seq = number % len(readable) + 1
            if seq <= log.length and readable[seq - 1]:
                device.line.push(seq, seq)
        elif step == "ask":
            device.ask()
        elif step == "answer":
            device.answer(log, limit)
        elif step == "take":
            device.take()
        else:  # a sync from the frontier
            after = device.line.frontier
            items = log.entries(after)[:limit]
            if items:
                device.line.page(after, [(seq, seq) for seq in items], items[-1])
            device.line.note(log.length)
        assert device.line.held <= room + limit
        assert device.line.cursor <= log.length
    device.line.note(log.length)
    for _ in range(3 * len(readable) + 3):  # the end: everything is asked for and taken
        while device.take():
            pass
        device.ask()
        device.answer(log, limit)
    assert device.seen == [seq for seq in range(start + 1, log.length + 1) if readable[seq - 1]]
    assert device.line.cursor == log.length
    assert device.line.gap() is None and not device.line.ready


@given(pushes=st.permutations(range(4, 12)), start=st.integers(0, 15))
def test_what_was_pushed_before_the_beginning_is_known_is_not_lost(pushes: list[int], start: int) -> None:
    line: Sequencer[int] = Sequencer(None)
    for seq in pushes:
        line.push(seq, seq)
    assert line.pop() is None and line.gap() is None
    line.begin(start)
    assert line.cursor == min(start, 3)
    if start < 3:
        assert line.gap() == Gap(start, 11)
        line.page(start, [], 3)
    assert [line.pop() for _ in range(8)] == list(range(4, 12))


def test_a_page_beyond_the_frontier_proves_nothing_about_the_numbers_before_it() -> None:
    line: Sequencer[int] = Sequencer(0)
    line.page(5, [(6, 6), (7, 7)], 7)
    assert line.pop() is None
    assert line.gap() == Gap(0, 7)


def test_without_a_known_beginning_a_conversation_begins_at_its_first_push() -> None:
    line: Sequencer[int] = Sequencer(None)
    line.push(9, 9)
    line.begin(None)
    assert line.cursor == 8
    assert line.pop() == 9


def test_pages_that_nobody_reads_do_not_pile_up() -> None:
    line: Sequencer[int] = Sequencer(0, room=2)
    for start in range(0, 20, 2):
        line.page(line.frontier, [(line.frontier + 1, 1), (line.frontier + 2, 2)], line.frontier + 2)
        line.note(start + 2)
    assert line.held == 2 and line.head == 20
    assert [line.pop(), line.pop()] == [1, 2]
    assert line.gap() == Gap(2, 20)
